"""Sequence encoders are proposed and packed from checkpoints as people make them, and compute what torch does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.domain.errors import ModelFolderError
from service.domain.operations import Predict, PredictOptions, SeriesInput, TextInput
from service.engine.runner import run_operation
from service.model_folder.safetensors_io import write_tensor_file
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tooling.inspect.report import inspect
from service.tooling.pack.packer import pack
from tests.folders import WORDS, write_tokenizer

SIZE = len(WORDS)
LABELS = {"labels": ["a", "b", "c", "d"]}


class TextClassifier(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(SIZE, 8), nn.GRU(8, 12, batch_first=True)
        self.fc = nn.Linear(12, classes)

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.gru(self.embedding(ids))[0][:, -1])


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(SIZE, 8), nn.LSTM(8, 6, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(12, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.lstm(self.embedding(ids))[0])


class Sensor(nn.Module):
    def __init__(self, width: int = 3, outputs: int = 4) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(width, 10, 2, batch_first=True), nn.Linear(10, outputs)

    def forward(self, values: Tensor) -> Tensor:
        return self.fc(self.lstm(values)[0][:, -1])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.attn, self.fc = nn.LSTM(3, 10, batch_first=True), nn.Linear(10, 1), nn.Linear(10, 1)

    def forward(self, values: Tensor) -> Tensor:
        h = self.lstm(values)[0]
        return self.fc((self.attn(h).softmax(1) * h).sum(1))


class Case:
    """A checkpoint, the files beside it, and how it is packed."""

    def __init__(self, root: Path, network: nn.Module, output: str, *, text: bool) -> None:
        torch.manual_seed(3)
        self.root, self.network = root, network.eval()
        for parameter in network.parameters():
            nn.init.uniform_(parameter, -0.6, 0.6)
        torch.save(network.state_dict(), root / "saved.pt")
        self.inputs = torch.randint(SIZE, (2, 9)) if text else torch.randn(2, 9, 3)
        self.files: dict[str, Any] = {"preprocessor": "identity"}
        if text:
            write_tokenizer(root / "tokenizer.json", WORDS)
            self.files = {"tokenizer": root / "tokenizer.json"}
        with torch.no_grad():
            self.outputs = network(self.inputs)
        name = "inputs.ids" if text else "inputs.values"
        write_tensor_file(root / "golden.safetensors", {name: self.inputs, f"outputs.{output}": self.outputs})
        self.files["golden"] = root / "golden.safetensors"

    def pack(self, **settings: object) -> Path:
        packed = pack(
            self.root / "saved.pt",
            self.root / "models",
            "mine",
            "1",
            settings=settings,
            **self.files,
        )
        return packed.path

    def answer(self, folder: Path, row: int = 0, **options: Any) -> dict[str, Any]:
        inputs = self.inputs[row].tolist()
        own = TextInput(ids=tuple(inputs)) if self.inputs.dim() == 2 else SeriesInput(tuple(map(tuple, inputs)))
        task = load_task(folder, TextLimits())[1]
        return run_operation(task, Predict(own, PredictOptions(**options)), task.initial_state).output


def test_a_classifier_of_texts_is_proposed_and_packed(tmp_path: Path) -> None:
    case = Case(tmp_path, TextClassifier(), "logits", text=True)
    proposal = inspect(tmp_path / "saved.pt").proposal
    assert proposal is not None
    assert (proposal.config["task"], proposal.config["readout"]) == ("classification", "last")
    assert {"task", "readout", "labels"} <= {*proposal.guessed}
    answer = case.answer(case.pack(task="classification", readout="last", **LABELS))
    expected = dict(zip(LABELS["labels"], case.outputs[0].softmax(-1).tolist(), strict=True))
    assert {entry["label"]: entry["probability"] for entry in answer["labels"]} == pytest.approx(expected, abs=1e-5)


def test_another_readout_is_refused_by_golden_vectors(tmp_path: Path) -> None:
    case = Case(tmp_path, TextClassifier(), "logits", text=True)
    with pytest.raises(ModelFolderError, match=r"outputs\.logits: found a difference"):
        case.pack(task="classification", readout="mean", **LABELS)
    with pytest.raises(ModelFolderError, match="readout: found each, expected one of last, last_output, mean"):
        case.pack(task="classification", readout="each", **LABELS)


def test_what_weights_cannot_tell_must_be_stated(tmp_path: Path) -> None:
    case = Case(tmp_path, TextClassifier(), "logits", text=True)
    del case.files["golden"]
    with pytest.raises(ModelFolderError, match=r"fit more than one(.|\n)*--set task=(.|\n)*--set readout=last \| mean"):
        case.pack()


def test_labels_that_do_not_match_the_output_are_refused(tmp_path: Path) -> None:
    case = Case(tmp_path, TextClassifier(), "logits", text=True)
    expected = r"output\.weight: found shape \[4, 12\], expected \[2, 12\] of config\.json's sizes: 2 labels"
    with pytest.raises(ModelFolderError, match=expected):
        case.pack(task="classification", readout="last", labels=["a", "b"])


def test_one_logit_means_two_labels(tmp_path: Path) -> None:
    case = Case(tmp_path, TextClassifier(1), "logits", text=True)
    answer = case.answer(case.pack(task="classification", readout="last", labels=["no", "yes"]))
    probabilities = {entry["label"]: entry["probability"] for entry in answer["labels"]}
    assert probabilities["yes"] == pytest.approx(float(case.outputs[0].sigmoid()), abs=1e-5)


def test_a_tagger_of_both_directions_is_proposed_and_packed(tmp_path: Path) -> None:
    case = Case(tmp_path, Tagger(), "logits", text=True)
    proposal = inspect(tmp_path / "saved.pt").proposal
    assert proposal is not None
    assert (proposal.config["task"], proposal.config["bidirectional"]) == ("tagging", True)
    tags = case.answer(case.pack(task="tagging", readout="each", **LABELS))["tags"]
    best = case.outputs[0].softmax(-1).max(-1)
    assert [tag["tag"] for tag in tags] == ["abcd"[index] for index in best.indices]
    assert [tag["probability"] for tag in tags] == pytest.approx(best.values.tolist(), abs=1e-5)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_numbers_are_packed_for_the_task_that_is_stated(tmp_path: Path, task: str) -> None:
    labels = task == "classification"
    case = Case(tmp_path, Sensor(), "logits" if labels else "values", text=False)
    entries: dict[str, object] = dict(LABELS) if labels else {"names": [*"pqrs"]}
    answer = case.answer(case.pack(task=task, readout="last", features=["x", "y", "z"], **entries))
    if labels:
        expected = dict(zip("abcd", case.outputs[0].softmax(-1).tolist(), strict=True))
        assert {entry["label"]: entry["probability"] for entry in answer["labels"]} == pytest.approx(expected, abs=1e-5)
    else:
        np.testing.assert_allclose(answer["values"], case.outputs[:1], atol=1e-5)


def test_attention_over_time_is_proposed_and_packed(tmp_path: Path) -> None:
    case = Case(tmp_path, Attending(), "values", text=False)
    proposal = inspect(tmp_path / "saved.pt").proposal
    assert proposal is not None
    assert (proposal.config["task"], proposal.config["readout"]) == ("regression", "attention")
    folder = case.pack(task="regression", names=["y"], features=["x", "y", "z"])
    np.testing.assert_allclose(case.answer(folder)["values"], case.outputs[:1], atol=1e-5)


def test_a_config_file_takes_the_proposed_names_of_its_task(tmp_path: Path) -> None:
    case = Case(tmp_path, Sensor(), "logits", text=False)
    fields = {
        "format_version": 1,
        "task": "classification",
        "architecture": "sequence-encoder",
        "cell": "lstm",
        "num_layers": 2,
        "input_size": 3,
        "hidden_size": 10,
        "features": ["x", "y", "z"],
        "readout": "last",
        **LABELS,
    }
    (tmp_path / "config.json").write_text(json.dumps(fields), "utf-8")
    packed = pack(
        tmp_path / "saved.pt", tmp_path / "models", "mine", "1", config=tmp_path / "config.json", **case.files
    )
    assert len(case.answer(packed.path)["labels"]) == 4


def test_outputs_that_are_no_steps_of_an_input_are_no_forecast(tmp_path: Path) -> None:
    Case(tmp_path, Sensor(), "logits", text=False)
    proposal = inspect(tmp_path / "saved.pt").proposal
    assert proposal is not None
    assert proposal.config["task"] == "classification"
    assert "task" in proposal.guessed


class TutorialCell(nn.Module):
    """The cell of PyTorch's tutorial on names: two linear layers over [input; state] and a log-softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.i2h, self.i2o = nn.Linear(3 + 7, 7), nn.Linear(3 + 7, 4)

    def forward(self, values: Tensor) -> Tensor:
        h = torch.zeros(len(values), 7)
        for x in values.unbind(1):
            both = torch.cat([x, h], 1)
            h, output = self.i2h(both), self.i2o(both)
        return output.log_softmax(-1)


class OwnCell(nn.Module):
    """A plain cell written as a layer over the input and one over the state."""

    def __init__(self, *, combined: bool, bias: bool = True) -> None:
        super().__init__()
        if combined:
            self.i2h = nn.Linear(3 + 7, 7)
        else:
            self.Wx, self.Wh = nn.Linear(3, 7, bias=False), nn.Linear(7, 7, bias=bias)
        self.combined, self.out = combined, nn.Linear(7, 4)

    def forward(self, values: Tensor) -> Tensor:
        h = torch.zeros(len(values), 7)
        for x in values.unbind(1):
            h = torch.tanh(self.i2h(torch.cat([x, h], 1)) if self.combined else self.Wx(x) + self.Wh(h))
        return self.out(h)


@pytest.mark.parametrize(
    ("network", "cell", "wrong"),
    [
        (TutorialCell(), {"cell_options": {"activation": "linear", "bias": "single"}}, {"cell_options": {}}),
        (OwnCell(combined=True), {"cell": "rnn_tanh"}, {"cell": "rnn_relu"}),
        (OwnCell(combined=False), {"cell": "rnn_tanh"}, {"cell": "rnn_relu"}),
        (OwnCell(combined=False, bias=False), {"cell": "rnn_tanh"}, {"cell": "rnn_relu"}),
    ],
    ids=["the tutorial's", "one layer", "two layers", "without biases"],
)
def test_a_cell_of_linear_layers_is_proposed_and_packed(
    tmp_path: Path, network: nn.Module, cell: dict[str, Any], wrong: dict[str, Any]
) -> None:
    case = Case(tmp_path, network, "logits", text=False)
    proposal = inspect(tmp_path / "saved.pt").proposal
    assert proposal is not None
    assert next(iter(cell)) in proposal.guessed
    settings = {"task": "classification", "readout": "last", **LABELS, "features": ["a", "b", "c"], **cell}
    case.files["plain"] = True
    with pytest.raises(ModelFolderError, match="found a difference"):
        case.pack(**{**settings, **wrong})
    labels = case.answer(case.pack(**settings))["labels"]
    expected = case.outputs[0].softmax(-1).tolist()
    assert {own["label"]: own["probability"] for own in labels} == pytest.approx(
        dict(zip(LABELS["labels"], expected, strict=True)), abs=1e-5
    )
