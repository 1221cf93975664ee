"""Packing: from what a trainer saved to a verified model folder, or to nothing at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.recipes.vocabulary import build_tokenizer
from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import read_tensor_file
from service.model_folder.safetensors_weights import expected_shapes
from service.tasks.vocabulary import Vocabulary
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.registry import read_network
from service.tooling.pack import packer
from service.tooling.pack import packer as packing
from service.tooling.pack.packer import pack, verify
from service.tooling.preprocessing.reader import read_words
from service.tooling.preprocessing.vocabularies.fitting import fit_words
from service.tooling.preprocessing.vocabularies.tokenizer import make_tokenizer
from tests.folders import WORDS, make_trainer, write_golden, write_language_model, write_tokenizer
from tests.registered import read_checkpoint

FIELDS: dict[str, Any] = {
    "format_version": 1,
    "task": "next-word",
    "architecture": "language-model",
    "cell": "lstm",
    "num_layers": 2,
    "input_size": 16,
    "hidden_size": 16,
    "embedding_size": 16,
    "vocab_size": len(WORDS),
}


class Words(nn.Module):
    """A user's language model, under names of its own."""

    def __init__(self, *, kind: type[nn.RNNBase] = nn.LSTM, tied: bool = True, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.encoder = nn.Embedding(len(WORDS), 16)
        self.lm = kind(16, 16, 2, batch_first=True)
        self.decoder = nn.Linear(16, len(WORDS), bias=bias)
        if tied:
            self.decoder.weight = self.encoder.weight

    @property
    def config(self) -> dict[str, Any]:
        return FIELDS

    def forward(self, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, last = self.lm(self.encoder(ids))
        last = last if isinstance(last, tuple) else (last,)
        return self.decoder(output), dict(zip("hc", last, strict=False))


def prepare(tmp_path: Path, network: Words, tolerance: float = 1e-4) -> dict[str, Any]:
    """Save the checkpoint, its word list and its golden vectors; return pack's arguments."""
    torch.save({"epoch": 3, "state_dict": network.state_dict()}, tmp_path / "saved.pt")
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    write_golden(tmp_path / "golden.safetensors", network, tolerance)  # type: ignore[arg-type]
    return {
        "source": tmp_path / "saved.pt",
        "models": tmp_path / "models",
        "name": "words",
        "version": "1",
        "vocab": tmp_path / "words.txt",
        "golden": tmp_path / "golden.safetensors",
    }


def left_over(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "models").rglob("*"))


def test_a_users_checkpoint_becomes_a_verified_folder_without_a_config(tmp_path: Path) -> None:
    packed = pack(**prepare(tmp_path, Words()))
    assert packed.path == tmp_path / "models" / "words" / "1"
    assert packed.verification.verified
    assert packed.verification.path == packed.path
    assert "output.weight is left out" in packed.render()
    assert "the weights stand under 'state_dict'" in packed.notes
    assert json.dumps(packed.to_dict())
    checkpoint = read_checkpoint(packed.path)
    assert checkpoint.config.tie_weights
    assert checkpoint.config.special_tokens == {"unknown": "<unk>"}
    assert checkpoint.fingerprint == packed.verification.fingerprint
    assert verify(packed.path) == packed.verification
    assert [path.name for path in (tmp_path / "models" / "words").iterdir()] == ["1"]


def test_a_checkpoint_is_read_from_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, reads = prepare(tmp_path, Words()), list[Path]()

    def read_and_count(path: Path) -> SavedNetwork:
        reads.append(path)
        return read_network(path)

    monkeypatch.setattr(packer, "read_network", read_and_count)
    pack(**arguments)
    assert reads == [arguments["source"]]


@pytest.mark.parametrize("network", [{"tied": False}, {"kind": nn.GRU}, {"bias": False}], ids=str)
def test_other_users_checkpoints_too(tmp_path: Path, network: dict[str, Any]) -> None:
    assert pack(**prepare(tmp_path, Words(**network))).verification.verified


def test_names_are_mapped_by_regular_expressions_in_order(tmp_path: Path) -> None:
    network = Words()
    arguments = prepare(tmp_path, network)
    weights = {**network.state_dict(), "dropout.mask": torch.ones(2)}
    torch.save({f"net/{name}": one for name, one in weights.items()}, arguments["source"])
    (tmp_path / "config.json").write_text(json.dumps({**FIELDS, "tie_weights": True}))
    maps = ["^net/=", "^encoder=embedding", r"^lm\.(weight|bias)=rnn.\1", "^decoder=output", "^dropout.*="]
    packed = pack(**arguments, config=tmp_path / "config.json", maps=maps)
    assert packed.verification.verified


def test_what_no_map_changes_keeps_its_proposed_name(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, Words(tied=False))
    assert pack(**arguments, maps=[r"^decoder\.weight=output.weight"]).verification.verified
    (tmp_path / "config.json").write_text(json.dumps({**FIELDS, "tie_weights": False}))
    maps = [r"^encoder=embedding"]
    assert pack(**{**arguments, "version": "2"}, config=tmp_path / "config.json", maps=maps).verification.verified


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (["(=x"], "found a broken regular expression"),
        (["encoder"], "found no name on the left of ="),
        ([r"^(encoder).*=\2"], "expected groups of OLD"),
        ([r".*weight$=same"], "both renamed to same"),
        (["^encoder=table"], "embedding.weight: found only"),
        (["^lm=rnn", "^rnn.bias_hh_l1$="], "rnn.bias_hh_l1: found only"),
    ],
)
def test_a_wrong_map_is_told(tmp_path: Path, maps: list[str], message: str) -> None:
    with pytest.raises(ModelFolderError) as caught:
        pack(**prepare(tmp_path, Words()), maps=maps)
    assert message in str(caught.value)
    assert not left_over(tmp_path)


def test_half_precision_storage_is_half_as_large_and_verified(tmp_path: Path) -> None:
    packed = pack(**prepare(tmp_path, Words(), tolerance=0.01), dtype="float16")
    assert packed.verification.difference is not None
    assert 0 < packed.verification.difference < 0.01
    stored = read_tensor_file(packed.path / "model.safetensors").tensors
    assert {one.dtype for one in stored.values()} == {"F16"}


def test_numbers_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    network = Words()
    nn.init.constant_(network.decoder.bias, 1e5)
    with pytest.raises(ModelFolderError, match=r"output.bias: found numbers up to 1e\+05, expected what torch.float16"):
        pack(**prepare(tmp_path, network), dtype="float16")


def test_a_safetensors_file_and_a_tokenizer_are_packed_too(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path / "old", connection="residual")
    packed = pack(
        folder / "model.safetensors",
        tmp_path / "models",
        "again",
        "12",
        config=folder / "config.json",
        tokenizer=folder / "tokenizer.json",
        golden=folder / "golden.safetensors",
        card=folder / "README.md",
    )
    old, new = read_checkpoint(folder), read_checkpoint(packed.path)
    assert (new.config, new.card, new.verified) == (old.config, old.card, True)


def test_a_network_without_golden_vectors_is_packed_and_said_not_to_be_verified(tmp_path: Path) -> None:
    packed = pack(**{**prepare(tmp_path, Words()), "golden": None}, plain=True)
    assert not packed.verification.verified
    assert "not verified" in packed.render()


def test_what_the_checkpoint_cannot_tell_is_stated_or_proven(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, Words(kind=nn.RNN))
    with pytest.raises(ModelFolderError, match=r"fit more than one network(.|\n)*--set cell=rnn_tanh \| rnn_relu"):
        pack(**{**arguments, "golden": None})
    packed = pack(**arguments)
    assert packed.verification.verified
    assert any(note.startswith("the golden vectors prove cell=rnn_tanh, ") for note in packed.notes)
    with pytest.raises(ModelFolderError, match="found a difference of"):
        pack(**{**arguments, "version": "2"}, settings={"cell": "rnn_relu"})


def test_a_wrong_forward_pass_leaves_nothing_and_is_told_with_the_final_path(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, Words())
    with pytest.raises(ModelFolderError) as caught:
        pack(**arguments, plain=True, settings={"connection": "residual"})
    assert str(caught.value).startswith(str(tmp_path / "models" / "words" / "1" / "golden.safetensors"))
    assert not left_over(tmp_path)


class Crash(BaseException):
    """As Ctrl-C would be."""


@pytest.mark.parametrize("error", [Crash("now"), OSError("disk full")])
@pytest.mark.parametrize("place", ["write_tensor_file", "verify", "sync"])
def test_a_crash_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, place: str
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(packing, place, crash)
    with pytest.raises((Crash, ModelFolderError), match=r"now|cannot be packed: disk full"):
        pack(**prepare(tmp_path, Words()))
    assert not left_over(tmp_path)


def test_a_version_is_never_replaced(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, Words())
    first = pack(**arguments).path
    before = (first / "config.json").stat().st_mtime_ns
    with pytest.raises(ModelFolderError, match="found a version that exists, expected a new one"):
        pack(**arguments)
    with pytest.raises(ModelFolderError, match="found a difference of"):
        pack(**{**arguments, "version": "2"}, settings={"connection": "residual"})
    assert (first / "config.json").stat().st_mtime_ns == before
    assert [path.name for path in first.parent.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../x"}, "name: found '../x'"),
        ({"version": "v1"}, "version: found 'v1', expected a positive integer"),
        ({"version": "01"}, "version: found '01'"),
        ({"vocab": None}, "found no vocabulary, expected --vocab FILE"),
        ({"tokenizer": Path("x")}, "found the vocabulary .* and the tokenizer x, expected one of them"),
        ({"dtype": "int8"}, "dtype: found 'int8', expected one of float16, float32"),
        ({"golden": Path("nowhere")}, "cannot be packed: .*nowhere"),
        ({"config": Path("nowhere")}, "nowhere: cannot be read: No such file"),
        ({"source": Path("nowhere")}, "nowhere: cannot be read: No such file"),
        ({"settings": {"hidden_size": 17}}, "rnn.weight_ih_l0: found shape|tie_weights: found true"),
    ],
)
def test_a_wrong_argument_is_told(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        pack(**{**prepare(tmp_path, Words()), **changes})
    assert not left_over(tmp_path)


def test_what_is_no_language_model_needs_a_config(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, Words())
    torch.save(nn.LSTM(3, 4).state_dict(), arguments["source"])
    with pytest.raises(ModelFolderError, match=r"found forecasting.*no linear layer.*expected a config.json"):
        pack(**arguments)


def test_the_output_weight_must_be_the_embeddings_when_tied(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"output.weight: found other values than in embedding.weight"):
        pack(**prepare(tmp_path, Words(tied=False)), settings={"tie_weights": True})


def word_list(tmp_path: Path, content: str) -> Path:
    (tmp_path / "list.txt").write_text(content, "utf-8")
    return tmp_path / "list.txt"


def tokenizer_of(tmp_path: Path, words: Sequence[str]) -> Tokenizer:
    return make_tokenizer(fit_words(read_words(word_list(tmp_path, "\n".join(words))), len(words)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("alpha\nbeta\n", "found no <unk> among 2 entries"),
        (
            "<unk>\nalpha\nbeta\n",
            "found a list of 3 entries, in the order of the ids, expected an entry for each of the 2",
        ),
        ("alpha\n", "found a list of 1 entries, in the order of the ids, and an embedding of 2 rows: one more"),
        ("<unk>\n\n", "line 2: found an empty line"),
        ("<unk>\na\na\n", "line 3: found 'a' again, first on line 2"),
    ],
)
def test_a_word_list_that_does_not_fit_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        fit_words(read_words(word_list(tmp_path, content)), 2)


def test_text_is_cut_as_the_recipe_cuts_it(tmp_path: Path) -> None:
    text = "Tom doesn\u2019t like \u201cwell-known\u201d dogs, (really)!"
    recipe = build_tokenizer([text, text], [], 30)
    words = sorted(recipe.get_vocab(), key=recipe.get_vocab().__getitem__)
    own = tokenizer_of(tmp_path, words)
    assert own.encode(text).tokens == recipe.encode(text).tokens
    ours, theirs = own.encode(text).ids, recipe.encode(text).ids
    assert own.decode(ours, skip_special_tokens=False) == recipe.decode(theirs, skip_special_tokens=False)


def test_marks_in_a_word_list_are_never_predicted(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, ["<pad>", "<unk>", "<s>", "</s>", "yes", "<3"])
    assert Vocabulary(tokenizer).special_ids == {0, 1, 2, 3}


def test_verify_refuses_a_tokenizer_of_another_size(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    assert verify(folder).verified
    write_tokenizer(folder / "tokenizer.json", WORDS[:-1])
    with pytest.raises(
        ModelFolderError, match=r"holds 45 tokens with ids up to 44: expected each id from 0 to 45 once"
    ):
        verify(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelFolderError, match=r"tokenizer.json: not found"):
        verify(folder)


def test_verify_counts_the_state_that_a_session_stores(tmp_path: Path) -> None:
    report = verify(write_language_model(tmp_path, golden=False))
    assert report.state_bytes == 4 * (4 * 16 + 1)
    assert report.to_dict()["difference"] is None
    checkpoint = read_checkpoint(report.path)
    assert make_trainer({**FIELDS}).tensors().keys() == expected_shapes(checkpoint.spec, checkpoint.config).keys()


def one_hot_fields(**fields: Any) -> dict[str, Any]:
    plain = {name: value for name, value in FIELDS.items() if name not in {"embedding_size", "input_size"}}
    return {**plain, "one_hot": True, "input_size": len(WORDS), "tie_weights": False, **fields}


class OneHot(Words):
    """A language model over unit vectors."""

    def __init__(self) -> None:
        super().__init__(tied=False)
        del self.encoder
        self.lm = nn.LSTM(len(WORDS), 16, 2, batch_first=True)

    def forward(self, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, (h, c) = self.lm(nn.functional.one_hot(ids, len(WORDS)).float())
        return self.decoder(output), {"h": h, "c": c}


class LinearCells(Words):
    """The cell of PyTorch's tutorial: two linear layers over the input and the state before."""

    def __init__(self) -> None:
        super().__init__(tied=False)
        del self.encoder, self.lm, self.decoder
        width = len(WORDS) + 9
        self.i2h, self.i2o = nn.Linear(width, 9), nn.Linear(width, len(WORDS))

    def forward(self, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        h, outputs = torch.zeros(len(ids), 9), []
        for x in nn.functional.one_hot(ids, len(WORDS)).float().unbind(1):
            both = torch.cat([x, h], 1)
            h = self.i2h(both)
            outputs.append(self.i2o(both))
        return torch.stack(outputs, 1), {"h": torch.cat([h, outputs[-1]], 1)[None]}


@pytest.mark.parametrize(
    ("network", "fields", "maps"),
    [
        (OneHot, {}, ["^lm=rnn", "^decoder=output"]),
        (
            LinearCells,
            {
                "cell": "rnn_tanh",
                "cell_options": {"activation": "linear", "bias": "single"},
                "num_layers": 1,
                "hidden_size": 9 + len(WORDS),
            },
            ["^i2h=rnn.combined_l0", "^i2o=rnn.combined_output_l0"],
        ),
    ],
    ids=["one-hot", "linear cells"],
)
def test_networks_over_unit_vectors_are_packed_with_a_config(
    tmp_path: Path, network: type[Words], fields: dict[str, Any], maps: list[str]
) -> None:
    arguments = prepare(tmp_path, network())
    (tmp_path / "config.json").write_text(json.dumps(one_hot_fields(**fields)))
    packed = pack(**arguments, config=tmp_path / "config.json", maps=maps)
    assert packed.verification.verified
    with pytest.raises(ModelFolderError, match="tie_weights: found true, expected false: with one_hot"):
        pack(
            **{**arguments, "version": "2"}, config=tmp_path / "config.json", maps=maps, settings={"tie_weights": True}
        )


def test_a_combined_layer_of_another_size_is_told(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, LinearCells())
    (tmp_path / "config.json").write_text(json.dumps(one_hot_fields(num_layers=1)))
    with pytest.raises(ModelFolderError, match=r"rnn.combined_l0.weight: found shape \[9, .*expected 64 rows"):
        pack(**arguments, config=tmp_path / "config.json", maps=["^i2h=rnn.combined_l0", "^i2o="])
