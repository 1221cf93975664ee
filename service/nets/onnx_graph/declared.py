"""Comparison of a graph with its config.json, and the plan of its trial."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from service.nets.config.loader import quote
from service.nets.config.sections import Violation
from service.nets.onnx_graph.graph_config import GraphConfig, Shape, batch_axis
from service.nets.onnx_graph.graph_file import GraphFile, GraphTensor
from service.nets.onnx_graph.runtime import Array
from service.nets.onnx_graph.trial import Plan, TrialTensor

MAX_CONSTANT_ELEMENTS = 2**16


def graph_violations(config: GraphConfig, graph: GraphFile) -> Iterator[Violation]:
    """Yield what config.json declares otherwise than the graph has it."""
    yield from _undeclared(config, graph)
    for index, entry in enumerate(config.inputs):
        shape = graph_shape(entry.shape, entry.overlap)
        yield from _mismatch(f"inputs.{index}", entry.name, entry.dtype, shape, graph.inputs)
    for index, output in enumerate(config.outputs):
        yield from _mismatch(f"outputs.{index}", output.name, output.dtype, output.shape, graph.outputs)
    for index, state in enumerate(config.state):
        yield from _mismatch(f"state.{index}.input", state.input, state.dtype, state.shape, graph.inputs)
        yield from _mismatch(f"state.{index}.output", state.output, state.dtype, state.shape, graph.outputs)
    for name, value in config.constants.items():
        yield from _constant_violation(f"constants.{name}", name, value, graph)


def constants_of(config: GraphConfig, graph: GraphFile) -> dict[str, Array]:
    """Return the constants as the graph reads them, after `graph_violations` found none."""
    return {name: np.array(value, graph.inputs[name].dtype) for name, value in config.constants.items()}


def make_plan(config: GraphConfig, constants: dict[str, Array]) -> Plan:
    """Return the plan of the trial of a graph."""
    return Plan(
        [_tensor(entry.name, entry.dtype, graph_shape(entry.shape, entry.overlap)) for entry in config.inputs],
        [_tensor(entry.name, entry.dtype, entry.shape) for entry in config.outputs],
        [(_tensor(entry.input, entry.dtype, entry.shape), entry.output) for entry in config.state],
        {name: (str(array.dtype), array.tolist()) for name, array in constants.items()},
        config.batched,
    )


def graph_shape(shape: Shape, overlap: int) -> Shape:
    """Return the shape of an input as the graph reads it, with the overlap in front on the last axis."""
    last = shape[-1] if shape else 0
    return (*shape[:-1], last + overlap) if overlap and isinstance(last, int) else shape


def _tensor(name: str, dtype: str, shape: Shape) -> TrialTensor:
    return TrialTensor(name, dtype, [*shape], batch_axis(shape))


def _undeclared(config: GraphConfig, graph: GraphFile) -> Iterator[Violation]:
    """Yield the inputs and outputs of the graph that config.json does not name: they may be state."""
    inputs = {*(entry.name for entry in config.inputs), *config.constants, *(entry.input for entry in config.state)}
    outputs = {*(entry.name for entry in config.outputs), *(entry.output for entry in config.state)}
    for name, tensor in graph.inputs.items():
        if name not in inputs:
            expected = "each input of the graph under inputs, constants or state"
            yield "state", f"no {name!r}, which the graph reads as {tensor.render()}", expected
    for name, tensor in graph.outputs.items():
        if name not in outputs:
            expected = "each output of the graph under outputs or state"
            yield "state", f"no {name!r}, which the graph returns as {tensor.render()}", expected


def _mismatch(place: str, name: str, dtype: str, shape: Shape, tensors: dict[str, GraphTensor]) -> Iterator[Violation]:
    actual = tensors.get(name)
    if actual is None:
        yield place, quote(name), f"one of the graph: {', '.join(tensors)}"
    elif actual.dtype != dtype:
        yield f"{place}.dtype", dtype, f"{actual.dtype}, as the graph has {name}"
    elif actual.shape is not None and not _fits(shape, actual.shape):
        expected = f"{actual.render()}, as the graph has {name}"
        batch = batch_axis(shape)
        if batch is not None and len(shape) == len(actual.shape) and isinstance(actual.shape[batch], int):
            expected += f": it has no batch axis at {batch}. State its size there, and sessions run alone"
        yield f"{place}.shape", [*shape], expected


def _fits(declared: Shape, actual: tuple[int | str | None, ...]) -> bool:
    """Return whether a declared shape is one that the graph has; its axes without a size take any."""
    return len(declared) == len(actual) and all(
        not isinstance(size, int) or axis == size for axis, size in zip(declared, actual, strict=True)
    )


def _constant_violation(place: str, name: str, value: Any, graph: GraphFile) -> Iterator[Violation]:  # noqa: ANN401
    actual = graph.inputs.get(name)
    if actual is None:
        yield place, quote(value), f"an input of the graph: {', '.join(graph.inputs)}"
        return
    array = _array_held_by(actual.dtype, value)
    if array is None:
        yield place, quote(value), f"{actual.render()}, numbers as the graph reads {name}"
    elif actual.shape is not None and not _fits(array.shape, actual.shape):
        yield place, f"shape {[*array.shape]}", f"{actual.render()}, as the graph reads {name}"


def _array_held_by(dtype: str, value: Any) -> Array | None:  # noqa: ANN401 - a value of JSON
    """Return a value as numbers, None if it is none or if `dtype` holds others; a float may round."""
    try:
        array = np.array(value)
        with np.errstate(all="ignore"):
            is_same = np.array_equal(array.astype(dtype).astype(array.dtype), array)
        rounds = np.dtype(dtype).kind == "f" and array.dtype.kind in "iuf"
    except (ValueError, TypeError, OverflowError):
        return None
    is_numeric = array.dtype.kind in "biuf" and array.size <= MAX_CONSTANT_ELEMENTS and np.isfinite(array).all()
    return array if (is_same or rounds) and is_numeric else None
