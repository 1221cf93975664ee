"""Folders of ONNX graphs as the service loads them: verified, or refused with place, found and expected."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from service.domain.errors import ModelFolderError
from service.domain.operations import Predict, TensorInput
from service.domain.tensors import make_tensor
from service.engine.loaded_models import load_version
from service.engine.runner import run_operation
from service.model_folder.safetensors_io import write_tensor_file
from service.nets.onnx_graph import runtime
from service.tasks.limits import TextLimits
from tests.onnx_folders import (
    graph,
    running_sum,
    running_sum_config,
    stream_golden,
    value,
    write_onnx,
    write_stream,
)

LIMITS = TextLimits()


def load(folder: Path) -> Any:
    return load_version(folder, LIMITS)


def refused(folder: Path) -> str:
    with pytest.raises(ModelFolderError) as error:
        load(folder)
    return str(error.value)


def test_a_graph_reproduces_the_golden_vectors_of_its_trainer(tmp_path: Path) -> None:
    write_stream(tmp_path)
    version = load(tmp_path / "stream" / "1").version
    assert (version.verified, version.task, version.architecture, version.cell) == (True, "tensor", "onnx", "onnx")
    assert (version.state_bytes, version.num_layers, version.hidden_size) == (80, 2, 5)
    assert version.description == ""


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_a_setting_does_not_change_the_arithmetic_of_a_graph(tmp_path: Path, dtype: Any) -> None:
    write_stream(tmp_path)
    assert load_version(tmp_path / "stream" / "1", LIMITS, dtype).version.dtype == "float32"


def test_golden_vectors_may_be_those_of_one_sequence(tmp_path: Path) -> None:
    trainer = write_stream(tmp_path)
    frames = torch.randn(20, 3)
    with torch.no_grad():
        probability, h, c = trainer(frames[None])
    golden = {"inputs.frame": frames, "outputs.probability": probability[0], "state.h": h, "state.c": c}
    write_tensor_file(tmp_path / "stream" / "1" / "golden.safetensors", golden)
    assert load(tmp_path / "stream" / "1").version.verified


@pytest.mark.parametrize(
    ("change", "mention"),
    [
        ({"outputs.probability": lambda tensor: tensor + 0.01}, "outputs.probability: found a difference of 0.01"),
        ({"state.h": lambda tensor: tensor.flip(0)}, "state.h: found a difference"),
        ({"inputs.frame": lambda tensor: tensor.double()}, "inputs.frame: found float64, expected float32"),
        ({"inputs.frame": lambda tensor: tensor[..., :2]}, "inputs.frame: found shape [3, 7, 2], expected [3, 7, 3]"),
        ({"state.h": lambda tensor: tensor[:, :1]}, "state.h: found shape [3, 1, 5]"),
        ({"state.x": lambda _: torch.zeros(1)}, "state.x: found this tensor, expected only"),
        ({"inputs.frame": None}, "inputs.frame: found no such tensor"),
    ],
)
def test_other_golden_vectors_are_refused(tmp_path: Path, change: dict[str, Any], mention: str) -> None:
    trainer = write_stream(tmp_path)
    golden = stream_golden(trainer)
    for name, make in change.items():
        if make is None:
            del golden[name]
        else:
            golden[name] = make(golden.get(name)).contiguous()
    write_tensor_file(tmp_path / "stream" / "1" / "golden.safetensors", golden)
    message = refused(tmp_path / "stream" / "1")
    assert mention in message
    assert "golden.safetensors" in message


def test_the_fingerprint_covers_the_graph_and_the_initial_state(tmp_path: Path) -> None:
    config = running_sum_config()
    config["state"][0]["initial"] = "first"
    write_onnx(tmp_path, "sum", running_sum(), config)
    other = running_sum()
    other.producer_name = "another"
    write_onnx(tmp_path, "sum", other, config, "2")
    for version, number in (("1", 1.0), ("2", 1.0)):
        write_tensor_file(tmp_path / "sum" / version / "initial.safetensors", {"first": torch.full((2,), number)})
    shutil.copytree(tmp_path / "sum" / "1", tmp_path / "sum" / "3")
    write_tensor_file(tmp_path / "sum" / "3" / "initial.safetensors", {"first": torch.full((2,), 5.0)})
    prints = {load(tmp_path / "sum" / version).version.fingerprint for version in "123"}
    assert len(prints) == 3


def test_an_initial_state_is_that_of_its_file(tmp_path: Path) -> None:
    config = running_sum_config()
    config["state"][0]["initial"] = {"tensor": "first", "file": "start.safetensors"}
    folder = write_onnx(tmp_path, "sum", running_sum(), config)
    write_tensor_file(folder / "start.safetensors", {"first": torch.tensor([[10.0, 20.0]])})
    task = load(folder).task
    given = Predict(TensorInput((make_tensor("x", "FP32", (2,), [1.0, 2.0]),)))
    assert run_operation(task, given, task.initial_state).output == {"tensors": {"y": [22.0, 44.0]}}


@pytest.mark.parametrize(
    ("tensor", "mention"),
    [
        (None, "start.safetensors: cannot be read"),
        ({"other": torch.zeros(2)}, "first: found no such tensor, expected one of other"),
        ({"first": torch.zeros(3)}, "first: found float32 of shape [3], expected float32 of shape [2]"),
        ({"first": torch.zeros(2, dtype=torch.int64)}, "first: found int64"),
        ({"first": torch.tensor([0.0, float("nan")])}, "first: found NaN"),
    ],
)
def test_an_initial_state_that_does_not_fit_is_refused(tmp_path: Path, tensor: Any, mention: str) -> None:
    config = running_sum_config()
    config["state"][0]["initial"] = {"tensor": "first", "file": "start.safetensors"}
    folder = write_onnx(tmp_path, "sum", running_sum(), config)
    if tensor is not None:
        write_tensor_file(folder / "start.safetensors", tensor)
    assert mention in refused(folder)


def test_a_graph_without_a_batch_axis_says_so(tmp_path: Path) -> None:
    version = load(write_onnx(tmp_path, "sum", running_sum(1), running_sum_config(1))).version
    assert version.description == "Sessions run one at a time, since the graph has no batch axis."


def declared(**fields: Any) -> dict[str, Any]:
    """The configuration of a running sum with other fields of its first entries."""
    config = running_sum_config()
    for field, values in fields.items():
        config[field] = [{**config[field][0], **values}]
    return config


def stateless(nodes: Any, weights: Any = None, **fields: Any) -> tuple[Any, dict[str, Any]]:
    """A graph from x (batch, 2) to y (batch, 2), and its configuration."""
    model = graph(nodes, [value("x", ["batch", 2])], [value("y", None)], weights, **fields)  # type: ignore[arg-type]
    return model, {**running_sum_config(), "state": []}


def node(*names: str, **fields: Any) -> Any:
    """A node of an operator: its name, its inputs, and its output."""
    operator, *inputs, output = names
    return helper.make_node(operator, inputs, [output], **fields)


REFUSED: dict[str, tuple[Callable[[], tuple[Any, dict[str, Any]]], list[str]]] = {
    "an input of another name": (
        lambda: (running_sum(), declared(inputs={"name": "z"})),
        [
            "config.json: ",
            "no 'x', which the graph reads as float32 ['batch', 2]",
            'inputs.0: found "z", expected one of',
        ],
    ),
    "an input of another dtype": (
        lambda: (running_sum(), declared(inputs={"dtype": "float64"})),
        ["inputs.0.dtype: found float64, expected float32"],
    ),
    "an input of another width": (
        lambda: (running_sum(), declared(inputs={"shape": ["batch", 3]})),
        ["inputs.0.shape: found ['batch', 3], expected float32 ['batch', 2]"],
    ),
    "an input of another depth": (
        lambda: (running_sum(), declared(inputs={"shape": ["batch", 1, 2]})),
        ["inputs.0.shape"],
    ),
    "a missing batch axis": (
        lambda: (running_sum(1), running_sum_config()),
        ["inputs.0.shape: found ['batch', 2]", "it has no batch axis at 0. State its size there"],
    ),
    "undeclared state": (
        lambda: (running_sum(), {**running_sum_config(), "state": []}),
        ["no 'total', which the graph reads", "no 'next_total', which the graph returns", "expected each output"],
    ),
    "a state that the graph does not return": (
        lambda: (running_sum(), declared(state={"output": "y2"})),
        ['state.0.output: found "y2", expected one of the graph: y, next_total'],
    ),
    "a constant that is no input": (
        lambda: (running_sum(), {**running_sum_config(), "constants": {"sr": 16000}}),
        ["constants.sr: found 16000, expected an input of the graph"],
    ),
    "a custom operator": (
        lambda: stateless([node("Own", "x", "y", domain="own")]),
        ["model.onnx: found the operator Own of the domain 'own', expected operators of"],
    ),
    "an unknown operator": (
        lambda: stateless([node("Own", "x", "y")]),
        ["model.onnx: found a graph that ONNX Runtime refuses", "Own", "expected one that it loads and runs"],
    ),
    "an unknown opset": (
        lambda: stateless([node("Relu", "x", "y")], opsets=[helper.make_opsetid("ai.onnx", 99)]),
        ["model.onnx: found", "expected"],
    ),
    "an output of another shape": (
        lambda: stateless([node("Concat", "x", "x", "y", axis=1)]),
        ["found y of float32 [1, 4] in a run, expected float32 ['batch', 2] as config.json declares it, batch = 1"],
    ),
    "an output of another dtype": (
        lambda: (running_sum(), declared(outputs={"dtype": "int64"})),
        ["outputs.0.dtype: found int64, expected float32, as the graph has y"],
    ),
    "a state that grows": (
        lambda: (
            graph(
                [node("Concat", "h", "x", "g", axis=1), node("Identity", "x", "y")],
                [value("x", ["batch", 2]), value("h", ["batch", "n"])],
                [value("y", ["batch", 2]), value("g", ["batch", "m"])],
            ),
            {**running_sum_config(), "state": [{"input": "h", "output": "g", "shape": ["batch", 2]}]},
        ),
        ["found g (the next h) of float32 [1, 4] in a run, expected float32 ['batch', 2]"],
    ),
    "rows that depend on each other": (
        lambda: stateless(
            [node("ReduceSum", "x", "zero", "s", keepdims=1), node("Add", "x", "s", "y")], {"zero": np.array([0])}
        ),
        ["whose rows differ in a batch from the same rows alone", "declare 1 in place of 'batch'"],
    ),
    "memory without end": (
        lambda: stateless(
            [
                node("Expand", "one", "huge", "e"),
                node("ReduceSum", "e", "r", keepdims=0),
                node("Add", "x", "r", "y"),
            ],
            {"one": np.ones(1, np.float32), "huge": np.array([2**42])},
        ),
        ["model.onnx: found a graph", "expected"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_served_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    make, mentions = REFUSED[case]
    message = refused(write_onnx(tmp_path, "sum", *make()))
    assert [word for word in mentions if word not in message] == [], message


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"version https://git-lfs", b"\x08\x08" * 50])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    message = refused(write_onnx(tmp_path, "sum", content, running_sum_config()))
    assert "model.onnx: found no ONNX graph" in message


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    folder = write_onnx(tmp_path, "sum", running_sum(), running_sum_config())
    (folder / "model.onnx").unlink()
    assert "model.onnx: cannot be read" in refused(folder)


def test_without_onnx_runtime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_onnx(tmp_path, "sum", running_sum(), running_sum_config())
    monkeypatch.setattr(runtime, "PACKAGE", "a_package_that_is_not_installed")
    message = refused(folder)
    assert "found an ONNX graph, but no ONNX Runtime, expected the extra `onnx`" in message


def test_constants_are_fed_beside_the_inputs(tmp_path: Path) -> None:
    nodes = [node("Cast", "sr", "rate", to=TensorProto.FLOAT), node("Mul", "x", "rate", "y")]
    inputs = [value("x", ["batch", 2]), value("sr", [], TensorProto.INT64)]
    model = graph(nodes, inputs, [value("y", ["batch", 2])])
    config = {**running_sum_config(), "state": [], "constants": {"sr": 3}}
    task = load(write_onnx(tmp_path, "scaled", model, config)).task
    given = Predict(TensorInput((make_tensor("x", "FP32", (2,), [1.0, 2.0]),)))
    assert run_operation(task, given, task.initial_state).output == {"tensors": {"y": [3.0, 6.0]}}


@pytest.mark.parametrize("constant", [1.5, "3", None, [3], 2**70, {"a": 1}, [[1], [2, 3]]])
def test_constants_that_do_not_fit_are_refused(tmp_path: Path, constant: Any) -> None:
    nodes = [node("Cast", "sr", "rate", to=TensorProto.FLOAT), node("Mul", "x", "rate", "y")]
    inputs = [value("x", ["batch", 2]), value("sr", [], TensorProto.INT64)]
    model = graph(nodes, inputs, [value("y", ["batch", 2])])
    config = {**running_sum_config(), "state": [], "constants": {"sr": constant}}
    message = refused(write_onnx(tmp_path, "scaled", model, config))
    assert "constants.sr: found" in message
    assert "expected int64 []" in message
