"""Checkpoints as users hold them, in small: what is found in each, and what is said not to be known."""

import argparse
import json
import os
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.report import Report, inspect
from tests.folders import WORDS, make_trainer, write_language_model
from tests.registered import build_config


def saved(tmp_path: Path, value: object, **settings: bool) -> Path:
    path = tmp_path / "saved.pt"
    torch.save(value, path, **settings)
    return path


def moved_to_gpu(path: Path) -> Path:
    """Rewrite a file of torch.save as one whose tensors lay on a GPU."""
    target = path.with_suffix(".gpu.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry.endswith("data.pkl"):
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            new.writestr(entry, content)
    return target


class Forecaster(nn.Module):
    """The shapes of a published river forecast."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 12)
        self.head = nn.Sequential(nn.Linear(12, 1))


class Words(nn.Module):
    """A language model under the names of PyTorch's own example."""

    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM, *, tied: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Embedding(20, 8)
        self.rnn = kind(8, 8, 2)
        self.decoder = nn.Linear(8, 20)
        if tied:
            self.decoder.weight = self.encoder.weight


def test_a_plain_state_dict_saved_on_a_gpu(tmp_path: Path) -> None:
    report = inspect(moved_to_gpu(saved(tmp_path, Forecaster().state_dict())))
    assert (report.kind, report.saved_on, report.beside) == ("state dict", ("cuda:0",), ())
    (group,) = report.groups
    assert group.render() == "lstm.: LSTM 4 -> 12, 1 layer, one direction, with bias"
    assert [matrix.render() for matrix in report.matrices] == ["head.0.weight: linear 12 -> 1, with bias"]
    assert report.looks_like.startswith(
        "forecasting, regression or classification: it reads 4 numbers per timestep and answers 1"
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_checkpoint_is_searched_for_its_state_dict(tmp_path: Path, zipped: bool) -> None:
    network = nn.ModuleDict({"encoder": nn.Linear(3, 8), "rnn": nn.LSTM(8, 8, 2), "decoder": nn.Linear(8, 3)})
    optimizer = torch.optim.Adam(network.parameters())
    network["decoder"](torch.ones(8)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 11,
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(model="LSTM", nhid=8, tied=False, hook=[1]),
    }
    report = inspect(saved(tmp_path, value, _use_new_zipfile_serialization=zipped))
    assert report.kind == "training checkpoint"
    assert report.notes == ("the weights stand under 'state_dict'",)
    assert report.beside == (
        "epoch: 11",
        "optimizer: a dict",
        "args: argparse.Namespace(model='LSTM', nhid=8, tied=False)",
    )
    assert [group.to_dict()["num_layers"] for group in report.groups] == [2]
    assert "it reads 3 numbers per timestep and answers 3" in report.looks_like
    assert any("residual" in fact for fact in report.unknown)
    assert any("added to the output" in fact for fact in report.unknown)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.LSTM(5, 7, 3, proj_size=2), ("lstm", 3, 7, 2, False, True)),
        (nn.LSTM(5, 7, bidirectional=True), ("lstm", 1, 7, 0, True, True)),
        (nn.GRU(5, 7, 2, bias=False), ("gru", 2, 7, 0, False, False)),
        (nn.RNN(5, 7), ("rnn", 1, 7, 0, False, True)),
        (nn.LSTMCell(5, 7), ("lstm", 1, 7, 0, False, True)),
        (nn.GRUCell(5, 7), ("gru", 1, 7, 0, False, True)),
    ],
    ids=str,
)
def test_cells_and_sizes_are_told_by_shapes(tmp_path: Path, module: nn.Module, expected: tuple[object, ...]) -> None:
    (group,) = inspect(saved(tmp_path, {f"net.body.{k}": v for k, v in module.state_dict().items()})).groups
    fields = group.to_dict()
    names = ("cell", "num_layers", "hidden_size", "proj_size", "bidirectional", "bias")
    assert tuple(fields[name] for name in names) == expected
    assert (fields["prefix"], fields["input_size"]) == ("net.body.", 5)


def test_a_list_of_cells_that_read_each_other_is_a_stack(tmp_path: Path) -> None:
    """As OpenNMT's decoder has them, fed its last attention beside the embedding."""
    layers = nn.ModuleList([nn.LSTMCell(6, 8), nn.LSTMCell(8, 10)])
    report = inspect(
        saved(tmp_path, {f"decoder.rnn.{k}": v for k, v in nn.ModuleDict({"layers": layers}).state_dict().items()})
    )
    (group,) = report.groups
    assert group.render() == "decoder.rnn.layers.: LSTM 6 -> [8, 10], 2 layers, one direction, with bias"


def test_modules_that_do_not_read_each_other_stay_apart(tmp_path: Path) -> None:
    towers = nn.ModuleList([nn.GRU(3, 4), nn.GRU(3, 4)])
    assert [group.prefix for group in inspect(saved(tmp_path, towers.state_dict())).groups] == ["0.", "1."]


def test_the_prefix_of_data_parallel_is_left_out(tmp_path: Path) -> None:
    report = inspect(saved(tmp_path, {f"module.{k}": v for k, v in Words().state_dict().items()}))
    assert report.groups[0].prefix == "rnn."
    assert "DataParallel" in report.notes[0]


def proposed_config(report: Report) -> dict[str, object]:
    """Return the proposed config.json, which the report holds as plain JSON values."""
    assert report.proposal is not None
    fields = report.to_dict()
    assert json.loads(json.dumps(fields)) == fields
    return report.proposal.config


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_gets_a_config_and_names(tmp_path: Path, tied: bool) -> None:
    report = inspect(saved(tmp_path, Words(tied=tied).state_dict()))
    config = proposed_config(report)
    assert report.looks_like.startswith("a language model")
    assert build_config(config, "place").tie_weights == tied
    assert (config["cell"], config["num_layers"], config["vocab_size"], config["hidden_size"]) == ("lstm", 2, 20, 8)
    assert report.proposal is not None
    assert report.proposal.names["encoder.weight"] == "embedding.weight"
    assert report.proposal.names["decoder.bias"] == "output.bias"
    assert "renamed: encoder.weight -> embedding.weight" in report.render()


def test_what_an_rnn_applies_is_said_to_be_a_guess(tmp_path: Path) -> None:
    report = inspect(saved(tmp_path, Words(nn.RNN).state_dict()))
    assert report.proposal is not None
    assert report.proposal.guessed[0] == "cell"
    assert any("tanh or relu" in fact for fact in report.unknown)
    assert "guessed, and to be stated by you: cell" in report.render()


def test_our_own_weights_are_recognised(tmp_path: Path) -> None:
    settings = {"input_projection": True, "embedding_size": 6, "input_size": 9, "head": [{"size": 5}]}
    folder = write_language_model(tmp_path, **settings)
    report = inspect(folder / "model.safetensors")
    config = proposed_config(report)
    assert report.kind == "safetensors file"
    assert (config["input_projection"], config["head"]) == (True, [{"size": 5, "activation": "none"}])
    assert report.proposal is not None
    assert all(old == new for old, new in report.proposal.names.items())


def test_equal_layers_of_a_safetensors_file_keep_their_order(tmp_path: Path) -> None:
    """The library hands the tensors of a file out in another order each time."""
    head = [{"size": 6}] * 11
    folder = write_language_model(tmp_path, hidden_size=6, num_layers=1, embedding_size=6, input_size=6, head=head)
    proposal = inspect(folder / "model.safetensors").proposal
    assert proposal is not None
    assert [name for name, new in proposal.names.items() if name != new] == []


@pytest.mark.parametrize(
    ("parts", "looks_like"),
    [
        ({"emb": nn.Embedding(9, 4), "rnn": nn.GRU(4, 5), "out": nn.Linear(7, 9)}, "a network over tokens whose parts"),
        (
            {"emb": nn.Embedding(9, 4), "rnn": nn.GRU(4, 5), "extra": nn.ParameterList([torch.ones(3)])},
            "a network over tokens with parts",
        ),
        ({"emb": nn.Embedding(9, 4), "enc": nn.GRU(4, 5), "dec": nn.GRU(4, 5)}, "an encoder-decoder"),
        (
            {"rnn": nn.GRU(1, 5)},
            "forecasting, regression or classification: it reads 1 number per timestep and answers 5",
        ),
        ({"out": nn.Linear(3, 4)}, "no recurrent network"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_tasks_are_named_and_get_no_config(tmp_path: Path, parts: dict[str, nn.Module], looks_like: str) -> None:
    report = inspect(saved(tmp_path, nn.ModuleDict(parts).state_dict()))
    assert report.looks_like.startswith(looks_like)
    assert report.proposal is None
    assert f"looks like:\n  {report.looks_like}" in report.render()
    assert "proposed config.json" not in report.render()


def test_shapes_that_fit_no_cell_are_said_so(tmp_path: Path) -> None:
    tensors = {"weight_ih_l0": torch.zeros(10, 3), "weight_hh_l0": torch.zeros(10, 4)}
    (group,) = inspect(saved(tmp_path, tensors)).groups
    assert "unknown cell" in group.render()


def test_several_state_dicts_are_told_apart_by_their_places(tmp_path: Path) -> None:
    value = {"encoder": nn.GRU(3, 4).state_dict(), "decoder": nn.GRU(3, 4).state_dict(), "epoch": 1}
    report = inspect(saved(tmp_path, value))
    assert [group.prefix for group in report.groups] == ["encoder.", "decoder."]
    assert "several state dicts" in report.notes[0]


class Vocab:
    """A class of somebody's software."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_of_foreign_classes_is_opened_without_them(tmp_path: Path, zipped: bool, protocol: int) -> None:
    value = {"model": nn.GRU(3, 4).state_dict(), "vocab": Vocab()}
    path = saved(tmp_path, value, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    report = inspect(path)
    assert report.groups[0].render() == "(no prefix): GRU 3 -> 4, 1 layer, one direction, with bias"
    assert f"vocab: an object of {__name__}.Vocab" in report.beside
    assert f"classes and functions that the file names, none of them opened: {__name__}.Vocab" in report.notes


class Bomb:
    """What a hostile file does: run a function while it is opened."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('it ran')",)


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    report = inspect(saved(tmp_path, {"weights": torch.zeros(2), "x": Bomb()}))
    assert "classes and functions that the file names, none of them opened: builtins.exec" in report.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"plain text, no checkpoint", "a text file"),
        (b"\x80\x02", "a damaged pickle"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "damaged"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ModelFolderError, match=message):
        inspect(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="No such file"):
        inspect(tmp_path / "nowhere.pt")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="found a dict, expected a state dict"):
        inspect(saved(tmp_path, {"epoch": 3}))


def test_a_trainer_of_the_tests_is_proposed_as_it_is(tmp_path: Path) -> None:
    fields = {"cell": "gru", "num_layers": 1, "input_size": 8, "hidden_size": 8, "embedding_size": 8}
    tensors: dict[str, Tensor] = make_trainer({**fields, "vocab_size": len(WORDS)}).tensors()
    write_tensor_file(tmp_path / "x.safetensors", tensors)
    config = proposed_config(inspect(tmp_path / "x.safetensors"))
    assert {name: config[name] for name in fields} == fields


SHARED = Path(os.environ.get("UNROLL_SHARED_DATA", "nowhere")) / "checkpoints"


@pytest.mark.skipif(not SHARED.is_dir(), reason="UNROLL_SHARED_DATA names no folder with the published checkpoints")
def test_the_published_checkpoints() -> None:
    river = inspect(SHARED / "neuralhydrology-lstm.pt")
    assert (river.kind, river.saved_on, river.parameters) == ("state dict", ("cuda:0",), 66_655)
    assert river.groups[0].render() == "lstm.: LSTM 4 -> 126, 1 layer, one direction, with bias"
    taxi = inspect(SHARED / "timeseries-anomaly-lstm.pth.tar")
    assert (taxi.kind, taxi.saved_on) == ("training checkpoint", ("cuda:0",))
    assert taxi.groups[0].render() == "rnn.: LSTM 32 -> 32, 2 layers, one direction, with bias"
    translator = inspect(SHARED / "opennmt-char-seq2seq.pt")
    assert any("onmt.Optim.Optim, torchtext.vocab.Vocab" in note for note in translator.notes)
    assert [group.prefix for group in translator.groups] == ["encoder.rnn.", "decoder.rnn.layers."]


def test_a_vocabulary_smaller_than_its_embedding_is_still_one(tmp_path: Path) -> None:
    network = Words()
    network.encoder, network.decoder = nn.Embedding(5, 8), nn.Linear(8, 5)
    report = inspect(saved(tmp_path, network.state_dict()))
    assert report.proposal is not None
    assert (report.proposal.config["vocab_size"], report.proposal.config["embedding_size"]) == (5, 8)


def state_with(**parameters: Tensor) -> dict[str, Tensor]:
    """The state dict of a network over tokens with further parameters, which belong to no layer."""
    layers = {"embedding": nn.Embedding(20, 6), "lstm": nn.LSTM(6, 8, bidirectional=True), "fc": nn.Linear(16, 5)}
    return {**nn.ModuleDict(layers).state_dict(), **parameters}


BARE: dict[str, dict[str, Tensor]] = {
    "a vector": {"w": torch.randn(16)},
    "a column": {"att_weight": torch.randn(16, 1)},
    "a matrix and a column": {"w_omega": torch.randn(16, 4), "u_omega": torch.randn(4, 1)},
}


@pytest.mark.parametrize("case", BARE)
def test_parameters_of_an_attention_are_told_how_to_become_layers(tmp_path: Path, case: str) -> None:
    state = state_with(**BARE[case])
    report = inspect(saved(tmp_path, state))
    listed, _, advice = report.looks_like.partition(", of which ")
    assert listed.endswith(f"parts that are not known here: {', '.join(BARE[case])}")
    assert "looks like an attention over the timesteps" in advice
    run_advice(advice, "in its place: ", state)
    proposal = inspect(saved(tmp_path, state)).proposal
    assert proposal is not None
    assert proposal.config["readout"] == "attention"


def test_transitions_of_the_tutorials_crf_are_told_how_to_become_those_that_are_read(tmp_path: Path) -> None:
    transitions = torch.arange(25.0).reshape(5, 5)
    state = state_with(transitions=transitions)
    report = inspect(saved(tmp_path, state))
    assert "of which transitions looks like the transitions of a CRF" in report.looks_like
    run_advice(report.looks_like, "two of them: ", state, START=3, STOP=4)
    proposal = inspect(saved(tmp_path, state)).proposal
    assert proposal is not None
    assert (proposal.config["task"], proposal.config["crf"]) == ("tagging", True)
    # The tutorial's row is the tag that follows.
    assert state["crf.transitions"][0, 1] == transitions[1, 0]
    assert state["crf.end_transitions"].tolist() == transitions[4].tolist()


def run_advice(text: str, beginning: str, state: dict[str, Tensor], **names: int) -> None:
    """Run the code that a message advises, on the state dict."""
    code = text.partition(beginning)[2].partition(", so no config.json")[0]
    exec(code, {"state": state, **names})  # noqa: S102 - code of the product, which users run
