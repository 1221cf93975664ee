"""Report on an ONNX graph: its inputs and outputs, and a config.json in which those that are state are paired.

A state is recognised by names, such as `h` and `h_out` or `state` and `stateN`, and else by equal shapes.
"""

import json
import shlex
from collections.abc import Iterator
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
    pairs = dict(_pairs(graph))
    rest = [tensor for name, tensor in graph.inputs.items() if name not in pairs]
    constants = [tensor for tensor in rest if tensor.shape == () and len(rest) > 1]
    inputs = [tensor for tensor in rest if tensor not in constants]
    outputs = [tensor for name, tensor in graph.outputs.items() if name not in pairs.values()]
    states = [graph.inputs[name] for name in pairs]
    first = inputs[0].shape if inputs else None
    batched = bool(first) and not isinstance((first or (0,))[0], int) and all(_batch_axis(state) for state in states)
    name = (first or (None,))[0] if batched else None
    config: dict[str, Any] = {
        "format_version": 1,
        "task": "tensor",
        "architecture": "onnx",
        "inputs": [_entry(tensor, batched, name) for tensor in inputs],
        "constants": {tensor.name: None for tensor in constants},
        "outputs": [_entry(tensor, batched, name) for tensor in outputs],
        "state": [_state_entry(tensor, pairs[tensor.name], batched, name) for tensor in states],
    }
    return GraphReport(path, graph, config, tuple(f"constants.{tensor.name}" for tensor in constants))


def _pairs(graph: GraphFile) -> Iterator[tuple[str, str]]:
    """Yield the inputs and outputs that are a state: first by names, then by equal shapes."""
    outputs = dict(graph.outputs)
    unpaired = []
    for name, tensor in graph.inputs.items():
        output = next((next_ for next_ in _next_names(name) if next_ in outputs), None)
        if output is not None and output != name and _same(tensor, outputs[output]):
            del outputs[output]
            yield name, output
        else:
            unpaired.append(tensor)
    for tensor in unpaired[1:] if unpaired else ():
        match = next((name for name, other in outputs.items() if tensor.shape and other.shape == tensor.shape), None)
        if match is not None and len(outputs) > 1 and outputs[match].dtype == tensor.dtype:
            del outputs[match]
            yield tensor.name, match


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


def _batch_axis(state: GraphTensor) -> bool:
    """Return whether one axis of a state, and no more, has any size."""
    return sum(not isinstance(axis, int) for axis in state.shape or ()) == 1


def _entry(tensor: GraphTensor, batched: bool, name: int | str | None) -> dict[str, Any]:
    """Return the entry of an input or output, whose batch axis has the name `name` or is the first one."""
    axes: list[int | str] = []
    for index, axis in enumerate(tensor.shape or ()):
        is_batch = batched and (axis == name if name is not None else index == 0 and axis is None)
        if is_batch and BATCH not in axes:
            axes.append(BATCH)
        else:
            axes.append(axis if isinstance(axis, int) else _axis_name(axis, index))
    if batched and BATCH not in axes and axes and not isinstance(axes[0], int):
        axes[0] = BATCH
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": axes}


def _axis_name(axis: str | None, index: int) -> str:
    return axis if axis is not None and axis.isidentifier() and axis != BATCH else f"axis{index}"


def _state_entry(tensor: GraphTensor, output: str, batched: bool, name: int | str | None) -> dict[str, Any]:
    entry = _entry(tensor, batched, name)
    shape = [
        BATCH if batched and isinstance(axis, str) else 1 if isinstance(axis, str) else axis for axis in entry["shape"]
    ]
    return {"input": tensor.name, "output": output, "shape": shape, "dtype": tensor.dtype, "initial": "zeros"}
