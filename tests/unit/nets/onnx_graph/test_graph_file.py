"""Reading of ONNX files before ONNX Runtime sees them."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, external_data_helper, helper

from service.nets.onnx_graph.graph_file import MAX_DEPTH, GraphError, read_graph
from tests.onnx_folders import Stream, graph, running_sum, stream, value


def read(model: Any) -> Any:
    return read_graph(model.SerializeToString())


def relu(**fields: Any) -> Any:
    return helper.make_node("Relu", ["x"], ["y"], **fields)


def model_of(*nodes: Any, **fields: Any) -> Any:
    return graph(nodes, [value("x", ["batch", 2])], [value("y", ["batch", 2])], **fields)


def test_inputs_outputs_and_parameters_are_found() -> None:
    found = read(stream(Stream()))
    assert {name: tensor.render() for name, tensor in found.inputs.items()} == {
        "frame": "float32 ['batch', 3]",
        "h": "float32 [2, 'batch', 5]",
        "c": "float32 [2, 'batch', 5]",
    }
    assert [*found.outputs] == ["probability", "h_next", "c_next"]
    assert found.parameters == sum(parameter.numel() for parameter in Stream().parameters()) + 3
    assert ("", "LSTM") in found.operators


def test_an_input_with_a_value_of_its_own_is_none() -> None:
    model = running_sum()
    model.graph.input.append(value("two", []))
    assert [*read(model).inputs] == ["x", "total"]


def test_axes_without_a_name_have_any_size() -> None:
    model = graph([relu()], [value("x", [None, 2])], [value("y", None)])  # type: ignore[arg-type]
    found = read(model)
    assert (found.inputs["x"].shape, found.outputs["y"].shape) == ((None, 2), None)


def test_weights_in_another_file_are_refused() -> None:
    model = running_sum()
    tensor = model.graph.initializer[0]
    tensor.raw_data = np.float32(2).tobytes()
    external_data_helper.set_external_data(tensor, "/etc/passwd")
    with pytest.raises(GraphError, match="weights in another file"):
        read(model)


def nested(depth: int) -> Any:
    """A graph with so many graphs inside of each other."""
    inner = helper.make_graph([relu()], "inner", [], [value("y", [2])])
    for _ in range(depth):
        node = helper.make_node("If", ["x"], ["y"], then_branch=inner)
        inner = helper.make_graph([node], "outer", [], [value("y", [2])])
    return helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("model", "mention"),
    [
        (model_of(helper.make_node("Own", ["x"], ["y"], domain="my.ops")), "the operator Own of the domain 'my.ops'"),
        (model_of(helper.make_node("RandomNormalLike", ["x"], ["y"])), "draws random numbers"),
        (model_of(helper.make_node("Re\x1blu", ["x"], ["y"])), "control characters"),
        (graph([relu()], [value("x\n", [2])], [value("y", [2])]), "control characters"),
        (graph([relu()], [value("x" * 600, [2])], [value("y", [2])]), "of 600 bytes"),
        (nested(4), ""),
        (nested(MAX_DEPTH + 1), "nested more than"),
    ],
)
def test_what_is_not_served_is_refused(model: Any, mention: str) -> None:
    if not mention:
        read(model)
        return
    with pytest.raises(GraphError, match=mention):
        read(model)


def test_functions_of_the_file_are_no_custom_operators() -> None:
    own = helper.make_function("local", "Own", ["x"], ["y"], [relu()], [helper.make_opsetid("", 17)])
    model = model_of(helper.make_node("Own", ["x"], ["y"], domain="local"), functions=[own])
    assert ("local", "Own") in read(model).operators


def test_a_custom_operator_inside_of_a_function_is_refused() -> None:
    inner = helper.make_node("Other", ["x"], ["y"], domain="my.ops")
    own = helper.make_function("local", "Own", ["x"], ["y"], [inner], [helper.make_opsetid("my.ops", 1)])
    model = model_of(helper.make_node("Own", ["x"], ["y"], domain="local"), functions=[own])
    with pytest.raises(GraphError, match="the operator Other"):
        read(model)


def test_an_old_opset_is_refused() -> None:
    model = running_sum()
    model.opset_import[0].version = 5
    with pytest.raises(GraphError, match="found opset 5, expected 7 or later"):
        read(model)


def test_a_second_graph_is_refused() -> None:
    content = running_sum().SerializeToString()
    with pytest.raises(GraphError, match="two graphs"):
        read_graph(content + content)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"PK\x03\x04", b"\x08\x08", b"not a graph at all", b"\xff" * 40])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(GraphError, match="found no ONNX graph"):
        read_graph(content)


CONTENT = stream(Stream()).SerializeToString()


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_damaged_files_are_read_or_refused(position: int, change: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[position] ^= change
    with contextlib.suppress(GraphError):
        read_graph(bytes(damaged))


@given(st.integers(0, len(CONTENT) - 1))
def test_files_that_are_cut_off_are_refused_or_lack_something(end: int) -> None:
    try:
        found = read_graph(CONTENT[:end])
    except GraphError:
        return
    assert len(found.outputs) <= 3


def test_types_are_named() -> None:
    model = graph([relu()], [value("x", [2], TensorProto.BFLOAT16)], [value("y", [2], TensorProto.STRING)])
    found = read(model)
    assert (found.inputs["x"].dtype, found.outputs["y"].dtype) == ("bfloat16", "string")
