"""Report on an ONNX graph: its inputs and outputs, and a config.json in which those that are state are paired.

A state is recognised by names, such as `h` and `h_out` or `state` and `stateN`, and else by equal shapes.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.errors import ModelFolderError
from service.model_folder.onnx_weights import read_onnx_file
from service.nets.onnx_graph.graph_file import GraphError, GraphFile, GraphTensor, read_graph
from service.nets.onnx_graph.tensor_config import BATCH

SUFFIX = ".onnx"
#: What graphs append to, or put in front of, the name of a state for its next value.
_APPENDED = ("N", "n", "_n", "_out", "_next", "_new", ".1", "_o", "Out", "Next")
_PREPENDED = ("next_", "new_", "out_", "output_", "o_")
_REPLACED = (("_in", "_out"), ("in_", "out_"), ("input", "output"), ("past", "present"), ("0", "n"), ("prev", "next"))
UNKNOWN = (
    "how long an input without a fixed length is, and whether its end stands in front of the next one (`overlap`)",
    "the values of inputs that never change (`constants`)",
    "the state before the first input, if it is not zeros (`initial`)",
)


@dataclass(frozen=True, slots=True)
class GraphReport:
    """The content of a graph, the config.json that is proposed for it, and its constants without a value."""

    path: Path
    graph: GraphFile
    config: dict[str, Any]
    guessed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "path": str(self.path),
            "kind": "ONNX graph",
            "inputs": {name: tensor.render() for name, tensor in self.graph.inputs.items()},
            "outputs": {name: tensor.render() for name, tensor in self.graph.outputs.items()},
            "operators": sorted({operator for _, operator in self.graph.operators}),
            "opsets": self.graph.opsets,
            "parameters": self.graph.parameters,
            "unknown": [*UNKNOWN],
            "proposal": {"config": self.config, "guessed": [*self.guessed]},
        }

    def render(self) -> str:
        """Return the report for people."""
        fields = ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in self.config.items())
        settings = [word for name in self.guessed for word in ("--set", f"{name}=VALUE")]
        command = ["unroll", "pack", str(self.path), "models/NAME/1", *settings]
        return "\n".join(
            [
                f"{self.path}: ONNX graph, {self.graph.parameters:,} parameters",
                "inputs:",
                *(f"  {name}: {tensor.render()}" for name, tensor in self.graph.inputs.items()),
                "outputs:",
                *(f"  {name}: {tensor.render()}" for name, tensor in self.graph.outputs.items()),
                "cannot be known from the graph:",
                *(f"  {line}" for line in UNKNOWN),
                "proposed config.json:",
                f"  {{\n{fields}\n  }}",
                "to pack it, the values being yours:",
                f"  {' '.join(map(shlex.quote, command))}",
            ]
        )


def is_graph(path: Path) -> bool:
    """Return whether a file is an ONNX graph by its name."""
    return path.suffix.lower() == SUFFIX


def inspect_graph(path: Path) -> GraphReport:
    """Report on an ONNX graph. Raises ModelFolderError."""
    try:
        graph = read_graph(read_onnx_file(path))
    except GraphError as error:
        raise ModelFolderError(f"{path}: {error}") from error
    pairs = _pair_states(graph)
    states = [graph.inputs[name] for name in pairs]
    inputs, constants = _split_inputs([tensor for name, tensor in graph.inputs.items() if name not in pairs])
    outputs = [tensor for name, tensor in graph.outputs.items() if name not in pairs.values()]
    batch = _find_batch_axis(inputs, states)
    config: dict[str, Any] = {
        "format_version": 1,
        "task": "tensor",
        "architecture": "onnx",
        "inputs": [_entry(tensor, batch) for tensor in inputs],
        "constants": {tensor.name: None for tensor in constants},
        "outputs": [_entry(tensor, batch) for tensor in outputs],
        "state": [_state_entry(tensor, pairs[tensor.name], batch) for tensor in states],
    }
    return GraphReport(path, graph, config, tuple(f"constants.{tensor.name}" for tensor in constants))


def _split_inputs(tensors: list[GraphTensor]) -> tuple[list[GraphTensor], list[GraphTensor]]:
    """Return the inputs of a timestep and the constants: single numbers beside another input."""
    constants = [tensor for tensor in tensors if tensor.shape == ()] if len(tensors) > 1 else []
    return [tensor for tensor in tensors if tensor not in constants], constants


def _pair_states(graph: GraphFile) -> dict[str, str]:
    """Return the output of each input that is a state: first by names, then by equal shapes."""
    pairs: dict[str, str] = {}
    outputs = dict(graph.outputs)
    for name, tensor in graph.inputs.items():
        if (output := _output_of_name(tensor, outputs)) is not None:
            pairs[name] = output
            del outputs[output]
    unpaired = [tensor for name, tensor in graph.inputs.items() if name not in pairs]
    for tensor in unpaired[1:]:  # the first one is an input of the network
        if (output := _output_of_shape(tensor, outputs)) is not None:
            pairs[tensor.name] = output
            del outputs[output]
    return pairs


def _output_of_name(state: GraphTensor, outputs: Mapping[str, GraphTensor]) -> str | None:
    """Return the output whose name is the state's with what graphs add to it, if its shape fits."""
    name = next((name for name in _next_names(state.name) if name in outputs), state.name)
    return name if name != state.name and _same(state, outputs[name]) else None


def _output_of_shape(state: GraphTensor, outputs: Mapping[str, GraphTensor]) -> str | None:
    """Return the first output of the state's shape, if another one remains as the output of the network."""
    if not state.shape or len(outputs) < 2:
        return None
    name = next((name for name, tensor in outputs.items() if tensor.shape == state.shape), None)
    return name if name is not None and outputs[name].dtype == state.dtype else None


def _next_names(name: str) -> Iterator[str]:
    yield from (f"{name}{suffix}" for suffix in _APPENDED)
    yield from (f"{prefix}{name}" for prefix in _PREPENDED)
    yield from (name.replace(old, new) for old, new in _REPLACED if old in name)


def _same(state: GraphTensor, following: GraphTensor) -> bool:
    """Return whether an output may be the next value of a state, as far as their shapes are known."""
    shape = state.shape or ()
    if state.dtype != following.dtype or not any(isinstance(axis, int) for axis in shape):
        return False
    if following.shape is None:
        return True
    return len(shape) == len(following.shape) and all(
        size == other or not isinstance(size, int) or not isinstance(other, int)
        for size, other in zip(shape, following.shape, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _BatchAxis:
    """The axis of independent inputs, by the name that the graph gives it, if any."""

    name: str | None

    def index_in(self, shape: tuple[int | str | None, ...]) -> int | None:
        """Return the axis of this name, else the first one if it may have any size."""
        if self.name is not None and self.name in shape:
            return shape.index(self.name)
        return 0 if shape and not isinstance(shape[0], int) else None


def _find_batch_axis(inputs: list[GraphTensor], states: list[GraphTensor]) -> _BatchAxis | None:
    """Return the first axis of the first input, if it and one axis of each state may have any size."""
    shape = inputs[0].shape if inputs else None
    if not shape or isinstance(shape[0], int) or not all(_has_one_free_axis(state) for state in states):
        return None
    return _BatchAxis(shape[0])


def _has_one_free_axis(state: GraphTensor) -> bool:
    return sum(not isinstance(axis, int) for axis in state.shape or ()) == 1


def _entry(tensor: GraphTensor, batch: _BatchAxis | None) -> dict[str, Any]:
    """Return the entry of an input or output in config.json."""
    shape = tensor.shape or ()
    axes = [axis if isinstance(axis, int) else _axis_name(axis, index) for index, axis in enumerate(shape)]
    if batch is not None and (index := batch.index_in(shape)) is not None:
        axes[index] = BATCH
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": axes}


def _axis_name(axis: str | None, index: int) -> str:
    return axis if axis is not None and axis.isidentifier() and axis != BATCH else f"axis{index}"


def _state_entry(tensor: GraphTensor, output: str, batch: _BatchAxis | None) -> dict[str, Any]:
    """Return the entry of a state, whose one free axis is the batch; without a batch, free axes have the size 1."""
    free = 1 if batch is None else BATCH
    shape = [axis if isinstance(axis, int) else free for axis in tensor.shape or ()]
    return {"input": tensor.name, "output": output, "shape": shape, "dtype": tensor.dtype, "initial": "zeros"}
