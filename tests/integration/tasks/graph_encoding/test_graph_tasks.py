"""Regression, classification and tagging by an ONNX graph: answers at any cut, in batches, and refusals by name."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.domain.errors import InvalidRequest, ModelFolderError, StateCorrupted
from service.domain.operations import Outcome, Predict, PredictOptions, SeriesInput, TextInput
from service.engine.runner import run_operation, run_to_completion
from service.model_folder.safetensors_io import StoredTensor
from service.tasks.architectures import load_task
from service.tasks.imported_tensors import CODES, ImportedTensors
from service.tasks.limits import TextLimits
from tests.folders import WORDS, write_tokenizer
from tests.onnx_folders import (
    Moods,
    Stream,
    moods,
    moods_config,
    scaled,
    stream_task_config,
    write_onnx,
    write_stream_task,
)

ROWS = [[round(5 + 4 * float(np.sin(3 * time + at)), 3) for at in range(3)] for time in range(20)]
IDS = [5, 9, 2, 30, 7, 7, 21, 14, 3, 11, 40, 6]
CUTS = ([20], [1] * 20, [7, 13], [3, 1, 9, 7])
LABELS = ["good", "bad", "neither"]


class Model:
    """A task whose operations are run as the engine runs them."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint, self.task = load_task(folder, TextLimits(input_tokens=50))

    def feed(self, own: Any, state: bytes | None = None, **options: Any) -> Outcome:
        return run_operation(self.task, Predict(own, PredictOptions(**options)), self.state(state))

    def state(self, raw: bytes | None) -> Any:
        return self.task.initial_state if raw is None else self.task.state_codec.from_bytes(raw)

    def in_pieces(self, inputs: Sequence[Any], cut: Sequence[int]) -> list[Any]:
        state, outputs, start = None, [], 0
        for length in cut:
            outcome = self.feed(to_input(inputs[start : start + length]), state)
            outputs.append(outcome.output)
            state, start = outcome.state, start + length
        return outputs


def to_input(inputs: Sequence[Any], target: Any = None) -> Any:
    if isinstance(inputs[0], int):
        return TextInput(ids=tuple(inputs), target=target)
    return SeriesInput(tuple(map(tuple, inputs)), target=target)


def stream_model(root: Path, task: str, **fields: Any) -> tuple[Model, Stream]:
    trainer = write_stream_task(root, "m", task, **fields)
    return Model(root / "m" / "1"), trainer


def probabilities(trainer: Stream, rows: Sequence[Any]) -> list[float]:
    with torch.no_grad():
        return trainer(scaled(torch.tensor([rows], dtype=torch.float64)))[0][0, :, 0].tolist()


def text_model(root: Path, batch: int | str = "batch", **fields: Any) -> tuple[Model, Moods]:
    trainer = Moods(len(WORDS), len(LABELS))
    folder = write_onnx(root, "m", moods(trainer, batch), moods_config(WORDS, LABELS, batch, **fields))
    write_tokenizer(folder / "tokenizer.json", WORDS)
    return Model(folder), trainer


def softmax(logits: Any) -> list[float]:
    return torch.tensor(logits).double().softmax(-1).tolist()


def by_label(output: Any) -> list[float]:
    found = {entry["label"]: entry["probability"] for entry in output["labels"]}
    return [found[label] for label in LABELS]


@pytest.mark.parametrize("cut", CUTS)
def test_numbers_are_those_of_the_trainer_in_their_units_at_any_cut(tmp_path: Path, cut: list[int]) -> None:
    model, trainer = stream_model(tmp_path, "regression")
    assert model.checkpoint.verified
    outputs = model.in_pieces(ROWS, cut)
    values = [row[0] for output in outputs for row in output["values"]]
    assert values == pytest.approx([10 + 4 * value for value in probabilities(trainer, ROWS)], abs=1e-5)
    assert outputs[0]["names"] == ["speech"]


@pytest.mark.parametrize("cut", CUTS)
def test_a_single_probability_is_that_of_the_second_of_two_labels(tmp_path: Path, cut: list[int]) -> None:
    model, trainer = stream_model(tmp_path, "classification")
    labels = {own["label"]: own["probability"] for own in model.in_pieces(ROWS, cut)[-1]["labels"]}
    last = probabilities(trainer, ROWS)[-1]
    assert labels == pytest.approx({"quiet": 1 - last, "speech": last}, abs=1e-5)


def test_each_timestep_gets_its_tag(tmp_path: Path) -> None:
    model, trainer = stream_model(tmp_path, "tagging")
    tags = [tag for output in model.in_pieces(ROWS, [7, 13]) for tag in output["tags"]]
    for tag, probability in zip(tags, probabilities(trainer, ROWS), strict=True):
        assert tag["tag"] == ("speech" if probability > 0.5 else "quiet")
        assert tag["probability"] == pytest.approx(max(probability, 1 - probability), abs=1e-5)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_graph_over_token_ids_reads_text_and_begins_as_it_was_trained(tmp_path: Path, batch: int | str) -> None:
    special = {"unknown": "<unk>", "begin": "<s>"}
    model, trainer = text_model(tmp_path, batch, special_tokens=special)
    expected = softmax(trainer.logits([WORDS.index("<s>"), *IDS])[-1])
    for cut in ([12], [1] * 12, [5, 7]):
        assert by_label(model.in_pieces(IDS, cut)[-1]) == pytest.approx(expected, abs=1e-5)
    assert ("one at a time" in model.task.note) == (batch == 1)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_sessions_that_run_together_are_answered_each_as_if_alone(tmp_path: Path, batch: int | str) -> None:
    model, _ = text_model(tmp_path, batch)
    pieces = [IDS[:7], IDS[3:4], IDS[2:12], IDS[::-1]]
    started = [model.task.start(Predict(to_input(piece), PredictOptions()), model.state(None)) for piece in pieces]
    for piece, outcome in zip(pieces, run_to_completion(model.task, started), strict=True):
        assert by_label(outcome.output) == pytest.approx(by_label(model.feed(to_input(piece)).output), abs=1e-6)


def test_a_session_without_new_input_is_answered_again(tmp_path: Path) -> None:
    model, _ = stream_model(tmp_path, "regression")
    fed = model.feed(to_input(ROWS))
    again = model.feed(None, fed.state)
    assert again.output["values"] == fed.output["values"][-1:]
    assert again.state == fed.state


def test_targets_are_compared_with_the_answers(tmp_path: Path) -> None:
    model, trainer = text_model(tmp_path)
    observed = model.feed(to_input(IDS, target="bad")).output["observed"]
    assert np.exp(observed["mean_logprob"]) == pytest.approx(softmax(trainer.logits(IDS)[-1])[1], abs=1e-5)


def test_a_state_is_exported_and_imported_as_named_tensors(tmp_path: Path) -> None:
    model, _ = stream_model(tmp_path, "regression")
    codec, fed = model.task.state_codec, model.feed(to_input(ROWS[:9]))
    tensors = codec.to_tensors(codec.from_bytes(fed.state))
    assert {name: [*tensor.shape] for name, tensor in tensors.items()} == {
        "h": [2, 5],
        "c": [2, 5],
        "sequence.outputs": [1],
        "sequence.last": [3],
        "sequence.count": [],
    }
    stored = {
        name: StoredTensor(CODES[str(tensor.numpy().dtype)], tuple(tensor.shape), bytearray(tensor.numpy().tobytes()))
        for name, tensor in tensors.items()
    }
    assert codec.to_bytes(codec.from_tensors(ImportedTensors(stored))) == fed.state
    assert len(fed.state) == codec.state_bytes
    with pytest.raises(StateCorrupted, match="bytes, expected"):
        codec.from_bytes(fed.state + b"0")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"names": ["one", "two"]}, "names: found 2 names, expected 1, as many as probability has numbers in a timestep"),
    ({"names": []}, "names: found nothing, expected at least 1"),
    ({"features": ["rain"]}, "inputs.0.shape: found ['batch', 3], expected 1 number a timestep"),
    ({"features": []}, "features: found nothing, expected names of the numbers of a row, or vocab_size for text"),
    ({"vocab_size": 3, "features": []}, "inputs.0.dtype: found float32, expected one of int64, int32"),
    ({"readout": "mean"}, "readout: found mean, expected one of each, last: a graph answers each timestep"),
    ({"probabilities": True}, "probabilities: found true, expected false: only labels have probabilities"),
    ({"window": 4}, "window: found 4, expected no such field"),
    ({"cell": "lstm"}, 'cell: found "lstm", expected no such field'),
    ({"labels": ["a"]}, "labels: found ['a'], expected it to be left out: it is no field of the task regression"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_fields_that_do_not_fit_the_graph_are_refused_by_name(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    write_stream_task(tmp_path, "m", "regression")
    path = tmp_path / "m" / "1" / "config.json"
    path.write_text(json.dumps(stream_task_config("regression", **fields)), "utf-8")
    with pytest.raises(ModelFolderError) as error:
        Model(path.parent)
    assert message in str(error.value)


def test_a_crf_and_the_task_embedding_are_no_graphs(tmp_path: Path) -> None:
    write_stream_task(tmp_path, "m", "tagging")
    path = tmp_path / "m" / "1" / "config.json"
    for config, message in (
        (stream_task_config("tagging", crf=True), "crf: found true, expected false: the transitions of a CRF"),
        ({**stream_task_config("tagging"), "task": "embedding"}, 'architecture: found "onnx", expected'),
    ):
        path.write_text(json.dumps(config), "utf-8")
        with pytest.raises(ModelFolderError) as error:
            Model(path.parent)
        assert message in str(error.value)


def test_golden_vectors_refuse_another_reading_of_the_outputs(tmp_path: Path) -> None:
    write_stream_task(tmp_path, "m", "regression")
    path = tmp_path / "m" / "1" / "config.json"
    path.write_text(json.dumps(stream_task_config("regression", activation="sigmoid")), "utf-8")
    with pytest.raises(ModelFolderError, match=r"outputs\.values: found a difference of"):
        Model(path.parent)


def test_an_id_that_the_graph_does_not_know_is_refused(tmp_path: Path) -> None:
    model, _ = text_model(tmp_path)
    with pytest.raises(InvalidRequest):
        model.feed(TextInput(ids=(len(WORDS),)))
