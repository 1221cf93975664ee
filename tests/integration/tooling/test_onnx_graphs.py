"""`inspect`, `pack` and `predict` on ONNX graphs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import PredictOptions
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.graph_report import GraphReport
from service.tooling.inspect.questions.question import Question
from service.tooling.inspect.report import inspect
from service.tooling.pack.packer import pack
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.predict.offline_prediction import prepare
from tests.onnx_folders import (
    STREAM_CONFIG,
    Stream,
    graph,
    running_sum,
    running_sum_config,
    stream,
    stream_golden,
    value,
)


def written(folder: Path, model: Any) -> Path:
    path = folder / "graph.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def proposed(folder: Path, model: Any) -> Any:
    report = inspect(written(folder, model))
    assert isinstance(report, GraphReport)
    assert json.loads(json.dumps(report.to_dict()))["proposal"]["config"] == report.config
    return report


def test_the_proposal_pairs_the_states_and_finds_the_batch(tmp_path: Path) -> None:
    report = proposed(tmp_path, stream(Stream()))
    assert report.config == {**STREAM_CONFIG, "constants": {}}
    assert "unroll pack" in report.render()


def voice(batch: str | None) -> Any:
    """The inputs and outputs of a voice detector that names no axes."""
    inputs = [value("input", [batch, None]), value("state", [2, batch, 4]), value("sr", [], TensorProto.INT64)]
    outputs = [value("output", [batch, 1]), value("stateN", [None, None, None])]
    return graph([helper.make_node("Identity", ["state"], ["stateN"])], inputs, outputs)


@pytest.mark.parametrize("batch", [None, "n"])
def test_a_scalar_is_a_constant_whose_value_is_asked_for(tmp_path: Path, batch: str | None) -> None:
    report = proposed(tmp_path, voice(batch))
    assert report.guessed == ("constants.sr",)
    assert report.config["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", "axis1"]}]
    assert report.config["outputs"] == [{"name": "output", "dtype": "float32", "shape": ["batch", 1]}]
    assert report.config["state"][0] == {
        "input": "state",
        "output": "stateN",
        "shape": [2, "batch", 4],
        "dtype": "float32",
        "initial": "zeros",
    }


def test_states_of_other_names_are_paired_by_shape(tmp_path: Path) -> None:
    inputs = [value("x", ["b", 3]), value("memory", ["b", 7])]
    outputs = [value("y", ["b", 2]), value("result", ["b", 7])]
    report = proposed(tmp_path, graph([helper.make_node("Identity", ["memory"], ["result"])], inputs, outputs))
    assert [(entry["input"], entry["output"]) for entry in report.config["state"]] == [("memory", "result")]


def refused(source: Path, folder: Path, **options: Any) -> str:
    with pytest.raises(ModelFolderError) as error:
        pack(source, folder / "models", "net", "1", **options)
    assert not (folder / "models" / "net").exists()
    return str(error.value)


def test_pack_refuses_what_a_graph_does_not_say_in_one_message(tmp_path: Path) -> None:
    source = written(tmp_path, stream(Stream()))
    message = refused(source, tmp_path, settings={"state.0.initial": "zeros"})
    assert "how many elements at the end of frame the graph reads again" in message
    assert "    --set inputs.0.overlap=0 | N\n" in message
    assert "    --set state.1.initial=zeros | TENSOR\n" in message
    command = f"  unroll pack {source} {tmp_path / 'models' / 'net' / '1'} --set state.0.initial=zeros"
    assert message.endswith(f"{command} --set inputs.0.overlap=0 --set state.1.initial=zeros")
    stated = {"inputs.0.overlap": 0, "state.0.initial": "zeros", "state.1.initial": "zeros"}
    packed = pack(source, tmp_path / "models", "net", "1", settings=stated)
    plain = pack(source, tmp_path / "models", "net", "2", plain=True)
    assert packed.verification.fingerprint == plain.verification.fingerprint


def test_a_constant_without_a_value_stands_in_the_same_message(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["sr"], ["rate"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "rate"], ["scaled"]),
        helper.make_node("Add", ["scaled", "h"], ["y"]),
        helper.make_node("Identity", ["y"], ["h_out"]),
    ]
    inputs = [value("x", ["n", 4]), value("h", ["n", 4]), value("sr", [], TensorProto.INT64)]
    source = written(tmp_path, graph(nodes, inputs, [value("y", ["n", 4]), value("h_out", ["n", 4])]))
    assert refused(source, tmp_path).endswith("--set state.0.initial=zeros --set constants.sr=VALUE")
    assert "constants.sr: found null" in refused(source, tmp_path, plain=True)
    assert pack(source, tmp_path / "models", "net", "1", plain=True, settings={"constants.sr": 2}).path.exists()


def swapped(first: str, second: str) -> Any:
    """Two memories whose next values have names that tell nothing: a' = a / 2 + x, b' = b + a'; y = b'."""
    nodes = [
        helper.make_node("Mul", ["a", "half"], ["less"]),
        helper.make_node("Add", ["less", "x"], [first]),
        helper.make_node("Add", ["b", first], [second]),
        helper.make_node("Identity", [second], ["y"]),
    ]
    inputs = [value("x", ["n", 2, 1]), value("a", ["n", 2, 1]), value("b", ["n", 2, 1])]
    outputs = [value("y", ["n", 2, 1]), value("left", ["n", 2, 1]), value("right", ["n", 2, 1])]
    return graph(nodes, inputs, outputs, {"half": np.float32(0.5)})


def sums(rows: Any) -> Any:
    """What `swapped` answers to rows (batch, time, ...), in numpy."""
    a = b = np.zeros_like(rows[:, 0])
    answers = []
    for row in rows.swapaxes(0, 1):
        a = a / 2 + row
        b = b + a
        answers.append(b)
    return np.stack(answers, 1)


def sums_golden(folder: Path, steps: int) -> Path:
    rows = np.random.default_rng(0).normal(size=(2, steps, 2, 1)).astype(np.float32)
    tensors = {"inputs.x": torch.from_numpy(rows), "outputs.y": torch.from_numpy(sums(rows))}
    write_tensor_file(folder / "golden.safetensors", tensors)
    return folder / "golden.safetensors"


def test_golden_vectors_prove_which_output_follows_which_state(tmp_path: Path) -> None:
    source = written(tmp_path, swapped("right", "left"))
    message = refused(source, tmp_path)
    assert "which output is the next a: outputs are equal in shape, and no name tells it" in message
    assert "    --set state.0.output=y | left | right\n" in message
    packed = pack(source, tmp_path / "models", "net", "1", golden=sums_golden(tmp_path, 5))
    assert packed.verification.verified
    assert [note for note in packed.notes if "state.0.output=right, state.0.initial=zeros, state.1.output=left" in note]
    config = json.loads((packed.path / "config.json").read_text())
    assert [(entry["input"], entry["output"]) for entry in config["state"]] == [("a", "right"), ("b", "left")]
    assert [entry["name"] for entry in config["outputs"]] == ["y"]


def test_vectors_of_one_timestep_show_nothing_of_the_next_one(tmp_path: Path) -> None:
    source = written(tmp_path, swapped("right", "left"))
    message = refused(source, tmp_path, golden=sums_golden(tmp_path, 1))
    assert "--set state.0.output=y | left | right\n" in message
    assert "initial" not in message


def test_a_stated_output_takes_the_place_of_the_proposed_one(tmp_path: Path) -> None:
    source = written(tmp_path, swapped("right", "left"))
    settings = {"state.0.output": "right", "state.1.output": "left"}
    packed = pack(source, tmp_path / "models", "net", "1", plain=True, settings=settings)
    config = json.loads((packed.path / "config.json").read_text())
    assert [entry["name"] for entry in config["outputs"]] == ["y"]


def overlapping() -> Any:
    """An input of six elements, of which the first two were the last two of the one before; their mean is added up."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1]),
        helper.make_node("Add", ["mean", "h"], ["h_out"]),
        helper.make_node("Identity", ["h_out"], ["y"]),
    ]
    inputs = [value("x", ["n", 6]), value("h", ["n", 1])]
    return graph(nodes, inputs, [value("y", ["n", 1]), value("h_out", ["n", 1])])


def test_an_overlap_shortens_the_input_and_follows_from_golden_vectors(tmp_path: Path) -> None:
    source = written(tmp_path, overlapping())
    rows = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
    whole = np.concatenate([np.zeros((1, 2), np.float32), rows.reshape(1, -1)], 1)
    means = [whole[:, 4 * step : 4 * step + 6].mean(1, keepdims=True) for step in range(3)]
    golden = {"inputs.x": torch.from_numpy(rows), "outputs.y": torch.from_numpy(np.stack(means, 1).cumsum(1))}
    write_tensor_file(tmp_path / "golden.safetensors", golden)
    stated = {"inputs.0.overlap": 2, "state.0.initial": "zeros"}
    by_hand = pack(source, tmp_path / "models", "net", "1", settings=stated)
    proven = pack(source, tmp_path / "models", "net", "2", golden=tmp_path / "golden.safetensors")
    assert json.loads((by_hand.path / "config.json").read_text())["inputs"] == [
        {"name": "x", "dtype": "float32", "shape": ["batch", 4], "overlap": 2}
    ]
    assert proven.verification.verified
    assert proven.verification.fingerprint == by_hand.verification.fingerprint


def test_golden_vectors_prove_an_initial_state_that_lies_beside_the_graph(tmp_path: Path) -> None:
    source = written(tmp_path, running_sum())
    first = torch.tensor([3.0, -2.0])
    write_tensor_file(tmp_path / "initial.safetensors", {"begin": first, "other": torch.ones(3)})
    rows = torch.arange(6.0).reshape(1, 3, 2)
    golden = {"inputs.x": rows, "outputs.y": 2 * (rows.cumsum(1) + first)}
    write_tensor_file(tmp_path / "golden.safetensors", golden)
    assert "--set state.0.initial=zeros | begin | TENSOR\n" in refused(source, tmp_path)
    packed = pack(source, tmp_path / "models", "net", "1", golden=tmp_path / "golden.safetensors")
    assert packed.notes == ("the golden vectors prove state.0.initial=begin",)
    write_tensor_file(tmp_path / "golden.safetensors", {**golden, "outputs.y": golden["outputs.y"] + 1})
    with pytest.raises(ModelFolderError, match="2 answers were tried"):
        pack(source, tmp_path / "models", "net", "2", golden=tmp_path / "golden.safetensors")


def test_a_person_is_asked_each_question(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(question: Question) -> object:
        asked.append(question.field)
        return question.plain.word

    pack(written(tmp_path, running_sum()), tmp_path / "models", "net", "1", ask=answer)
    assert asked == ["inputs.0.overlap", "state.0.initial"]


def test_pack_writes_what_is_proposed_and_verifies_it(tmp_path: Path) -> None:
    trainer = Stream().eval()
    write_tensor_file(tmp_path / "golden.safetensors", stream_golden(trainer))
    packed = pack(
        written(tmp_path, stream(trainer)), tmp_path / "models", "stream", "1", golden=tmp_path / "golden.safetensors"
    )
    assert packed.verification.verified
    assert {path.name for path in packed.path.iterdir()} == {"config.json", "model.onnx", "golden.safetensors"}


def test_pack_takes_a_configuration_and_settings(tmp_path: Path) -> None:
    config = running_sum_config()
    config["state"][0]["initial"] = "first"
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = written(tmp_path, running_sum())
    with pytest.raises(ModelFolderError, match=r"cannot be packed: .*initial\.safetensors"):
        pack(source, tmp_path / "models", "sum", "1", config=tmp_path / "config.json")
    packed = pack(source, tmp_path / "models", "sum", "1", settings={"constants": {}}, plain=True)
    assert packed.verification.task == "tensor"


def test_pack_refuses_what_a_graph_does_not_need(tmp_path: Path) -> None:
    source = written(tmp_path, running_sum())
    with pytest.raises(ModelFolderError, match="found a word list, expected none"):
        pack(source, tmp_path / "models", "sum", "1", vocab=source, plain=True)
    assert not (tmp_path / "models").exists()


def test_predict_reads_tensors_in_json(tmp_path: Path) -> None:
    folder = pack(written(tmp_path, running_sum()), tmp_path / "models", "sum", "1", plain=True).path
    prediction = prepare(str(folder), tmp_path, PredictionArguments('{"x": [1, 2.5]}', None, None), PredictOptions())
    assert prediction.render({"tensors": {"y": [2.0, 5.0]}}) == "y: [2.0, 5.0]"
    for text in (None, "x", '{"x": ["a"]}', "[1]"):
        with pytest.raises(InvalidRequest, match="expected"):
            prepare(str(folder), tmp_path, PredictionArguments(text, None, None), PredictOptions())
