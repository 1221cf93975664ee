"""Model folders are read strictly: every mistake has its own message, and no wrong forward pass is let through."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import read_tensor_file, write_tensor_file
from tests.folders import write_language_model
from tests.registered import read_checkpoint

Tensors = dict[str, Tensor]


def edit_tensors(path: Path, change: Callable[[Tensors], object], metadata: dict[str, str] | None = None) -> None:
    file = read_tensor_file(path)
    tensors = {name: stored.tensor() for name, stored in file.tensors.items()}
    change(tensors)
    write_tensor_file(path, tensors, file.metadata if metadata is None else metadata)


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}), "utf-8")


def refusal(folder: Path) -> str:
    with pytest.raises(ModelFolderError) as caught:
        read_checkpoint(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_good_folder_is_read_whole(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.path == folder
    assert checkpoint.verified
    assert checkpoint.card.description == "A small model with random weights."
    assert checkpoint.card.metrics == {"perplexity": 40.5}
    stored = read_tensor_file(folder / "model.safetensors").tensors.values()
    assert checkpoint.parameters == sum(one.tensor().numel() for one in stored)
    assert len(checkpoint.fingerprint) == 64
    assert checkpoint.network.config is checkpoint.config


def test_without_golden_vectors_a_version_is_not_verified(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_language_model(tmp_path, golden=False))
    assert (checkpoint.verified, checkpoint.golden) == (False, None)


def set_value(name: str, value: float) -> Callable[[Tensors], object]:
    return lambda tensors: tensors[name].view(-1)[3].fill_(value)


def widen(tensors: Tensors) -> None:
    tensors["rnn.weight_hh_l1"] = torch.zeros(64, 17)


def make_whole_numbers(tensors: Tensors) -> None:
    tensors["output.bias"] = tensors["output.bias"].long()


def make_double(tensors: Tensors) -> None:
    tensors["output.bias"] = tensors["output.bias"].double()


WEIGHT_MISTAKES: list[tuple[Callable[[Tensors], object], str]] = [
    (
        lambda tensors: tensors.pop("rnn.bias_hh_l1"),
        "rnn.bias_hh_l1: found no such tensor, expected rnn.bias_hh_l1 of shape [64]",
    ),
    (
        lambda tensors: tensors.update({"rnn.weight_hr_l0": torch.zeros(8, 16)}),
        "rnn.weight_hr_l0: found this tensor of shape [8, 16], expected none of that name",
    ),
    (widen, "rnn.weight_hh_l1: found shape [64, 17], expected [64, 16]"),
    (set_value("rnn.weight_ih_l0", float("nan")), "rnn.weight_ih_l0: found 1 of 1024 numbers that are NaN or infinite"),
    (set_value("output.bias", float("inf")), "output.bias: found 1 of 46 numbers that are NaN or infinite"),
    (make_whole_numbers, "output.bias: found dtype I64, expected one of F32, F16, BF16"),
    (make_double, "output.bias: found dtype F64, expected one of F32, F16, BF16"),
]


@pytest.mark.parametrize(("change", "message"), WEIGHT_MISTAKES, ids=[message for _, message in WEIGHT_MISTAKES])
def test_a_wrong_tensor_is_named(tmp_path: Path, change: Callable[[Tensors], object], message: str) -> None:
    folder = write_language_model(tmp_path)
    edit_tensors(folder / "model.safetensors", change)
    assert message in refusal(folder)


def torch_saved(path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, path)


def legacy_saved(path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)


FILE_MISTAKES: list[tuple[str, Callable[[Path], object], str]] = [
    ("model.safetensors", lambda path: path.unlink(), "cannot be read: No such file"),
    ("model.safetensors", lambda path: path.write_bytes(b""), "found an empty file"),
    ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-9]), "found a truncated or damaged file"),
    ("model.safetensors", torch_saved, "found a pickle as torch.save writes it"),
    ("model.safetensors", legacy_saved, "found a pickle as torch.save writes it"),
    ("model.safetensors", lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "Git LFS"),
    ("config.json", lambda path: path.unlink(), "cannot be read: No such file"),
    ("config.json", lambda path: path.write_text("{'cell': 'lstm'}"), "found no readable JSON"),
    ("README.md", lambda path: path.write_text("---\na: [1\n---\n"), "front matter: found broken YAML"),
    ("README.md", lambda path: path.write_text("---\na: 1\n"), "front matter: found no closing line"),
    ("README.md", lambda path: path.write_text("---\n- a\n---\n"), "front matter: found ['a'], expected key: value"),
    ("README.md", lambda path: path.write_text("---\ndescription: 3\n---\n"), "description: found 3, expected a text"),
    ("README.md", lambda path: path.write_text("---\nmetrics: 3\n---\n"), "metrics: found 3, expected names"),
    ("README.md", lambda path: path.write_text("---\nmetrics: {a: 2020-01-01}\n---\n"), "metrics: found"),
    ("README.md", lambda path: path.write_text("---\nmetrics: {a: .nan}\n---\n"), "metrics: found"),
    ("README.md", lambda path: path.write_bytes(b"\xff\xfe"), "cannot be read"),
]


@pytest.mark.parametrize(("name", "change", "message"), FILE_MISTAKES, ids=[f"{m[0]} {m[2]}" for m in FILE_MISTAKES])
def test_a_wrong_file_is_named(tmp_path: Path, name: str, change: Callable[[Path], object], message: str) -> None:
    folder = write_language_model(tmp_path)
    change(folder / name)
    assert message in refusal(folder)
    assert str(folder / name) in refusal(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "found no folder" in refusal(tmp_path / "nowhere")


def test_reading_a_folder_loads_no_compiler(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, connection="highway", layer_norm=True, head=[{"size": 4}])
    code = (
        "import sys, pathlib; from service.tasks.architectures import ARCHITECTURES, read_checkpoint; "
        f"read_checkpoint(pathlib.Path({str(folder)!r}), ARCHITECTURES); print('torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_config_of_huge_sizes_takes_no_memory_before_it_is_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, golden=False)
    edit_config(folder, vocab_size=2**24)
    assert "embedding.weight: found shape [46, 16], expected [16777216, 16]" in refusal(folder)


@pytest.mark.parametrize("card", [None, "", "# Only text\n", "---\nlicense: mit\n---\n# Text\n", "---\n---\n"])
def test_a_card_need_not_say_anything(tmp_path: Path, card: str | None) -> None:
    folder = write_language_model(tmp_path)
    (folder / "README.md").unlink()
    if card is not None:
        (folder / "README.md").write_text(card)
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.card.description, checkpoint.card.metrics) == ("", {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_may_be_stored_in_half_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = write_language_model(tmp_path, tolerance=0.05)
    halve = lambda tensors: tensors.update({name: one.to(dtype) for name, one in tensors.items()})  # noqa: E731
    edit_tensors(folder / "model.safetensors", halve)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.golden is not None
    assert 0 < checkpoint.golden.difference < 0.05


def test_the_fingerprint_is_of_the_content_and_not_of_its_order(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    first = read_checkpoint(folder).fingerprint
    path = folder / "model.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    turned = json.dumps(dict(reversed(header.items())), separators=(",", ":")).encode().ljust(size)
    path.write_bytes(content[:8] + turned + content[8 + size :])
    assert path.read_bytes() != content
    edit_tensors(folder / "golden.safetensors", lambda _: None, {"tolerance": "0.001"})
    (folder / "README.md").write_text("another card")
    assert read_checkpoint(folder).fingerprint == first


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor.json", "model.safetensors"])
def test_the_fingerprint_changes_with_every_file_that_decides_a_prediction(tmp_path: Path, name: str) -> None:
    folder = write_language_model(tmp_path, golden=False)
    first = read_checkpoint(folder).fingerprint
    if name == "model.safetensors":
        edit_tensors(folder / name, set_value("output.bias", 0.25))
    else:
        path = folder / name
        path.write_text((path.read_text() if path.exists() else "") + "\n")
    assert read_checkpoint(folder).fingerprint != first


def swap_gates(tensors: Tensors) -> None:
    """As a file has them whose author's order is i, f, o, g."""
    for name, tensor in tensors.items():
        if name.startswith("rnn."):
            i, f, g, o = tensor.chunk(4)
            tensors[name] = torch.cat([i, f, o, g])


def test_gates_in_another_order_are_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    edit_tensors(folder / "model.safetensors", swap_gates)
    message = refusal(folder)
    assert f"{folder}/golden.safetensors: " in message
    assert "found a difference of " in message
    assert "expected at most 0.0001" in message
    assert "gate order" in message


def enlarge(tensors: Tensors) -> None:
    """Multiply the logits, and what they come of, by a power of two: it rounds as before, on another scale."""
    for name in ("output.weight", "output.bias", "outputs.logits"):
        if name in tensors:
            tensors[name] *= 1024.0


def test_large_logits_are_compared_for_their_size_and_wrong_ones_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    before = read_checkpoint(folder).golden
    for file in ("model.safetensors", "golden.safetensors"):
        edit_tensors(folder / file, enlarge)
    golden = read_checkpoint(folder).golden
    assert before is not None
    assert golden is not None
    assert golden.tolerance > 100 * before.tolerance
    assert golden.difference < golden.tolerance / 20
    edit_tensors(folder / "model.safetensors", swap_gates)
    assert "found a difference of " in refusal(folder)


def test_masked_tokens_do_not_hide_another_forward_pass(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)

    def mask(tensors: Tensors) -> None:
        for name in {"output.bias", "outputs.logits"} & {*tensors}:
            tensors[name][..., :3] = -1e9

    for file in ("model.safetensors", "golden.safetensors"):
        edit_tensors(folder / file, mask)
    assert read_checkpoint(folder).verified
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors["output.bias"][3:].add_(2**-9))
    assert "outputs.logits: found a difference of 0.00195" in refusal(folder)


def reset_before_the_product(weights: Tensors, ids: Tensor) -> tuple[Tensor, Tensor]:
    """A one-layer GRU as K. Cho's paper has it: the reset gate acts on the state before the matrix product."""
    h = torch.zeros(len(ids), 16)
    logits = []
    for column in ids.unbind(1):
        x = weights["embedding.weight"][column]
        r, z, n = (x @ weights["rnn.weight_ih_l0"].T + weights["rnn.bias_ih_l0"]).chunk(3, -1)
        w_r, w_z, w_n = weights["rnn.weight_hh_l0"].chunk(3)
        b_r, b_z, b_n = weights["rnn.bias_hh_l0"].chunk(3)
        r, z = torch.sigmoid(r + h @ w_r.T + b_r), torch.sigmoid(z + h @ w_z.T + b_z)
        n = torch.tanh(n + (r * h) @ w_n.T + b_n)
        h = (1 - z) * n + z * h
        logits.append(h @ weights["output.weight"].T + weights["output.bias"])
    return torch.stack(logits, 1), h


def test_a_gru_with_the_reset_gate_before_the_product_is_refused(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, cell="gru", num_layers=1)
    weights = {name: one.tensor() for name, one in read_tensor_file(folder / "model.safetensors").tensors.items()}

    def replace(tensors: Tensors) -> None:
        tensors["outputs.logits"], tensors["state.h_l0"] = reset_before_the_product(weights, tensors["inputs.ids"])

    edit_tensors(folder / "golden.safetensors", replace)
    assert "reset gate after the matrix product" in refusal(folder)


@pytest.mark.parametrize(
    ("made", "claimed"),
    [
        ({"cell": "rnn_relu"}, {"cell": "rnn_tanh"}),
        ({"connection": "residual"}, {"connection": "none"}),
        ({"head": [{"size": 9, "activation": "relu"}]}, {"head": [{"size": 9, "activation": "tanh"}]}),
    ],
)
def test_a_config_that_fits_the_shapes_and_not_the_network_is_refused(
    tmp_path: Path, made: dict[str, object], claimed: dict[str, object]
) -> None:
    folder = write_language_model(tmp_path, **made)
    right = json.loads((folder / "config.json").read_bytes())
    kept = [entry for entry in right["state"] if entry["name"] != "features" or "head" in claimed]
    edit_config(folder, **claimed, state=kept)
    assert ": found a difference of" in refusal(folder)


GOLDEN_MISTAKES: list[tuple[Callable[[Tensors], object], dict[str, str] | None, str]] = [
    (lambda tensors: tensors.pop("state.c_l1"), None, "state.c_l1: found no such tensor, expected"),
    (lambda tensors: tensors.pop("inputs.ids"), None, "inputs.ids: found no such tensor, expected"),
    (lambda tensors: tensors.update(extra=torch.zeros(1)), None, "extra: found this tensor, expected only"),
    (
        lambda tensors: tensors.update({"state.h_l0": torch.zeros(2, 15)}),
        None,
        "state.h_l0: found shape [2, 15], expected [2, 16]",
    ),
    (lambda tensors: tensors["state.h_l0"].add_(0.0125), None, "state.h_l0: found a difference of 0.012"),
    (
        set_value("outputs.logits", float("nan")),
        None,
        "outputs.logits: found nan at [0, 0, 3], expected finite numbers",
    ),
    (set_value("state.c_l0", float("inf")), None, "state.c_l0: found inf at [0, 3], expected finite numbers"),
    (lambda tensors: tensors["inputs.ids"].add_(46), None, "inputs.ids: found ids 47 to 90, expected 0 to 45"),
    (
        lambda tensors: tensors.update({"inputs.ids": tensors["inputs.ids"].int()}),
        None,
        "inputs.ids: found int32 of shape [2, 7], expected int64",
    ),
    (lambda _: None, {"tolerance": "wide"}, "metadata tolerance: found 'wide', expected a number above 0"),
    (lambda _: None, {"tolerance": "1000"}, "metadata tolerance: found '1000', expected a number above 0 and up to 1"),
    (
        lambda tensors: tensors.update({"state.h": torch.zeros(3, 2, 16)}),
        None,
        "state.h: found shape [3, 2, 16], expected [2 layers",
    ),
]


@pytest.mark.parametrize(("change", "metadata", "message"), GOLDEN_MISTAKES, ids=[m[2] for m in GOLDEN_MISTAKES])
def test_a_wrong_golden_file_is_refused(
    tmp_path: Path, change: Callable[[Tensors], object], metadata: dict[str, str] | None, message: str
) -> None:
    folder = write_language_model(tmp_path)
    edit_tensors(folder / "golden.safetensors", change, metadata)
    assert message in refusal(folder)


def test_golden_states_may_be_stacked_as_torch_returns_them_and_the_tolerance_left_out(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)

    def stack(tensors: Tensors) -> None:
        for kind in "hc":
            tensors[f"state.{kind}"] = torch.stack([tensors.pop(f"state.{kind}_l{layer}") for layer in range(2)])

    edit_tensors(folder / "golden.safetensors", stack, {})
    golden = read_checkpoint(folder).golden
    assert golden is not None
    assert golden.tolerance == 1e-4
    assert golden.timesteps == 14


def test_files_are_written_as_the_safetensors_library_reads_them(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    tensors = {"b": torch.arange(3), "a": torch.randn(2, 3).T, "c": torch.ones(3, dtype=torch.float16)}
    write_tensor_file(tmp_path / "x", {**tensors, "empty": torch.zeros(0, 4)}, {"tolerance": "1"})
    found = library.load_file(tmp_path / "x")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    own = read_tensor_file(tmp_path / "x")
    assert own.metadata == {"tolerance": "1"}
    assert own.tensors["empty"].tensor().shape == (0, 4)
    assert all(torch.equal(own.tensors[name].tensor(), tensor) for name, tensor in tensors.items())


def test_folders_are_written_without_surprise_for_others(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, "other", "7", words=["<unk>", "a", "b"], hidden_size=[4, 6])
    assert folder == tmp_path / "other" / "7"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "golden.safetensors",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert read_checkpoint(folder).config.special_tokens == {"unknown": "<unk>"}
