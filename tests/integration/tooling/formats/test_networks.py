"""Files as people keep them: the tensors are right, and what the file says of its layers is told."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.domain.errors import ModelFolderError
from service.tooling.formats.registry import read_network
from service.tooling.inspect.report import inspect
from tests.integration.tooling.formats.networks import EXPECTED, FOLDER, language_model


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lightning-callbacks.ckpt", "training checkpoint"),
        ("loss-beside-state-dict.pt", "training checkpoint"),
        ("torchscript-script.pt", "TorchScript archive (its code is not run)"),
        ("torchscript-trace.pt", "TorchScript archive (its code is not run)"),
    ],
)
def test_a_file_gives_the_network_that_its_own_library_computes(name: str, kind: str) -> None:
    network = read_network(FOLDER / name)
    tensors = {key.removeprefix("model."): tensor for key, tensor in network.tensors.items()}
    logits = language_model(tensors, EXPECTED[f"{name}/inputs.ids"])
    assert network.kind == kind
    assert torch.allclose(logits, EXPECTED[f"{name}/outputs"], atol=1e-5)
    assert len(tensors) == 11


def test_scores_of_callbacks_and_a_loss_are_no_part_of_the_network() -> None:
    lightning = inspect(FOLDER / "lightning-callbacks.ckpt")
    assert lightning.looks_like.startswith("a language model")
    assert lightning.others == ()
    assert "loss: a Tensor" in inspect(FOLDER / "loss-beside-state-dict.pt").beside


def test_a_harmless_object_beside_the_weights_does_no_harm() -> None:
    numbers, paths = inspect(FOLDER / "numpy-scalar-inside.pt"), inspect(FOLDER / "path-inside.ckpt")
    assert "best_rmse: 0.91" in numbers.beside
    assert [report.groups[0].render() for report in (numbers, paths)] == [
        "lstm.: LSTM 1 -> 16, 1 layer, one direction, with bias"
    ] * 2


def test_a_module_that_was_pickled_whole_tells_its_layers() -> None:
    report = inspect(FOLDER / "whole-model-pickle.pt")
    assert report.kind == "network that was pickled whole (opened without its classes)"
    assert any("none of them opened: __main__.LM" in note for note in report.notes)
    lstm = next(layer for layer in report.layers if layer.name == "lstm")
    assert (lstm.kind, lstm.options["batch_first"], lstm.options["bidirectional"]) == ("LSTM", True, False)
    assert report.looks_like.startswith("a language model")
    assert "lstm: LSTM(mode='LSTM', input_size=16, hidden_size=24, num_layers=2" in report.render()


def test_a_script_tells_the_settings_of_its_layers() -> None:
    layers = {layer.name: layer for layer in read_network(FOLDER / "torchscript-script.pt").layers}
    assert (layers["lstm"].kind, layers["lstm"].options["batch_first"]) == ("LSTM", True)
    assert layers["embedding"].options["num_embeddings"] == 40
    assert {layer.kind for layer in read_network(FOLDER / "torchscript-trace.pt").layers} >= {"LSTM", "Linear"}


def test_arrays_of_numpy_are_read_from_archives_and_pickles() -> None:
    archive, pickled = (read_network(FOLDER / name).tensors for name in ("numpy-arrays.npz", "numpy-arrays.pkl"))
    with np.load(FOLDER / "numpy-arrays.npz") as arrays:
        for name in arrays:
            assert torch.equal(archive[name], torch.from_numpy(arrays[name]))
            assert torch.equal(pickled[name], archive[name])


class Trained(nn.Module):
    """A network with layers, a buffer, and shared weights."""

    def __init__(self, nonlinearity: str = "relu") -> None:
        super().__init__()
        self.rnn = nn.RNN(5, 6, nonlinearity=nonlinearity)
        self.behind = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 2))
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("hidden", torch.ones(3), persistent=False)
        self.skipped = None


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
@pytest.mark.parametrize("way", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_whole_module_gives_its_state_dict_in_every_format(tmp_path: Path, way: str, protocol: int) -> None:
    module, path = Trained().double(), tmp_path / "x.bin"
    if way == "pickle":
        path.write_bytes(pickle.dumps({"epoch": 3, "net": module}, protocol))
    else:
        value = {"epoch": 3, "net": module}
        torch.save(value, path, _use_new_zipfile_serialization=way == "zip", pickle_protocol=protocol)
    network = read_network(path)
    expected = module.state_dict()
    assert list(network.tensors) == list(expected)
    assert all(torch.equal(network.tensors[name], tensor) for name, tensor in expected.items())
    assert [layer.kind for layer in network.layers if layer.name.startswith("behind.")] == [
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
    ]
    assert network.beside == ("epoch: 3",)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("kind", [nn.RNN, nn.RNNCell])
def test_a_pickled_layer_states_its_activation(tmp_path: Path, kind: type[nn.Module], nonlinearity: str) -> None:
    torch.save(nn.ModuleDict({"rnn": kind(5, 6, nonlinearity=nonlinearity), "out": nn.Linear(6, 5)}), tmp_path / "x.pt")
    proposal = inspect(tmp_path / "x.pt").proposal
    assert proposal is not None
    assert proposal.config["cell"] == f"rnn_{nonlinearity}"
    assert "cell" not in proposal.guessed


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_dtype_and_view_is_read(tmp_path: Path, dtype: torch.dtype, zipped: bool) -> None:
    base = torch.arange(24).view(4, 6).to(dtype)
    tensors = {"whole": base, "turned": base.T, "part": base[1:3, ::2], "none": base[:0], "one": base[2, 3]}
    torch.save(tensors, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    read = read_network(tmp_path / "x.pt").tensors
    assert all(torch.equal(read[name], tensor) and read[name].dtype == dtype for name, tensor in tensors.items())


def test_parameters_outside_of_modules_are_read(tmp_path: Path) -> None:
    torch.save({"w": nn.Parameter(torch.ones(2, 2))}, tmp_path / "x.pt")
    assert torch.equal(read_network(tmp_path / "x.pt").tensors["w"], torch.ones(2, 2))


def test_a_tuple_of_state_dicts_gives_the_network_alone(tmp_path: Path) -> None:
    """As the tutorials of Ray Tune save them."""
    network = nn.GRU(3, 4)
    optimizer = torch.optim.Adam(network.parameters())
    torch.save((network.state_dict(), optimizer.state_dict()), tmp_path / "x.pt")
    assert list(read_network(tmp_path / "x.pt").tensors) == list(network.state_dict())


def averaged(network: nn.Module) -> dict[str, Tensor]:
    return torch.optim.swa_utils.AveragedModel(network).state_dict()


@pytest.mark.parametrize(
    ("path", "keep"),
    [
        ("ema_state_dict", nn.Module.state_dict),
        ("state_dict_ema", nn.Module.state_dict),
        ("callbacks.EMA.state", nn.Module.state_dict),
        ("callbacks.EMACallback{'decay': 0.99}.weights", nn.Module.state_dict),
        ("swa_model", averaged),
    ],
)
def test_the_average_of_the_weights_is_left_out_or_chosen(
    tmp_path: Path, path: str, keep: Callable[[nn.Module], dict[str, Tensor]]
) -> None:
    network, average = nn.GRU(3, 4), nn.GRU(3, 4)
    saved: object = keep(average)
    names = path.split(".", 2) if "{" not in path else ["callbacks", "EMACallback{'decay': 0.99}", "weights"]
    for name in reversed(names):
        saved = {name: saved}
    assert isinstance(saved, dict)
    torch.save({**saved, "state_dict": network.state_dict()}, tmp_path / "x.pt")
    read = read_network(tmp_path / "x.pt")
    assert torch.equal(read.tensors["weight_ih_l0"], network.weight_ih_l0)
    assert f"a copy of the same tensors is left out: {path} (--weights ema reads it)" in read.notes
    chosen = read_network(tmp_path / "x.pt", weights="ema")
    assert [*chosen.tensors] == [*network.state_dict()]
    assert torch.equal(chosen.tensors["weight_ih_l0"], average.weight_ih_l0)


def test_an_average_that_is_not_there_is_told(tmp_path: Path) -> None:
    torch.save({"state_dict": nn.GRU(3, 4).state_dict()}, tmp_path / "x.pt")
    with pytest.raises(ModelFolderError, match="expected the average of the weights, such as ema_state_dict"):
        read_network(tmp_path / "x.pt", weights="ema")


def test_arrays_beside_the_weights_are_no_part_of_the_network(tmp_path: Path) -> None:
    value = {"scaling": {"mean": np.ones((1, 3)), "std": np.ones((1, 3))}, "net": nn.GRU(3, 4).state_dict()}
    torch.save(value, tmp_path / "x.pt")
    assert "mean" not in read_network(tmp_path / "x.pt").tensors


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "_orig_mod.module.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_left_out(tmp_path: Path, prefix: str) -> None:
    state = nn.GRU(3, 4).state_dict()
    torch.save({f"{prefix}rnn.{name}": tensor for name, tensor in state.items()}, tmp_path / "x.pt")
    assert list(read_network(tmp_path / "x.pt").tensors) == [f"rnn.{name}" for name in state]


@pytest.mark.filterwarnings("ignore")
def test_int8_weights_are_told_for_what_they_are(tmp_path: Path) -> None:
    network = nn.ModuleDict({"lstm": nn.LSTM(3, 4), "fc": nn.Linear(4, 1)})
    quantized = torch.ao.quantization.quantize_dynamic(network, {nn.LSTM, nn.Linear}, dtype=torch.qint8)
    torch.save(quantized.state_dict(), tmp_path / "x.pt")
    with pytest.raises(ModelFolderError, match=r"made int8, expected its float weights: .* --dtype int8"):
        read_network(tmp_path / "x.pt")
