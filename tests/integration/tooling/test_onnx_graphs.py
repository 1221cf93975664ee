"""`inspect`, `pack` and `predict` on ONNX graphs."""

import json
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import PredictOptions
from service.model_folder.safetensors_io import write_tensor_file
from service.tooling.inspect.graph_report import GraphReport
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
    packed = pack(source, tmp_path / "models", "sum", "1", settings={"constants": {}})
    assert packed.verification.task == "tensor"


def test_pack_refuses_what_a_graph_does_not_need(tmp_path: Path) -> None:
    source = written(tmp_path, running_sum())
    with pytest.raises(ModelFolderError, match="found a word list, expected none"):
        pack(source, tmp_path / "models", "sum", "1", vocab=source)
    assert not (tmp_path / "models").exists()


def test_predict_reads_tensors_in_json(tmp_path: Path) -> None:
    folder = pack(written(tmp_path, running_sum()), tmp_path / "models", "sum", "1").path
    prediction = prepare(str(folder), tmp_path, PredictionArguments('{"x": [1, 2.5]}', None, None), PredictOptions())
    assert prediction.render({"tensors": {"y": [2.0, 5.0]}}) == "y: [2.0, 5.0]"
    for text in (None, "x", '{"x": ["a"]}', "[1]"):
        with pytest.raises(InvalidRequest, match="expected"):
            prepare(str(folder), tmp_path, PredictionArguments(text, None, None), PredictOptions())
