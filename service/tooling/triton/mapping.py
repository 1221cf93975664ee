"""A configuration of Triton as fields of config.json, compared with the graph that it describes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.nets.onnx_graph.graph_config import BATCH
from service.nets.onnx_graph.graph_file import GraphFile, GraphTensor
from service.tooling.triton.config import INITIAL_FOLDER, TritonConfig, TritonState, TritonTensor, control_values


class TritonMapping:
    """The pairs of states, the constants and the sizes that a configuration states for a graph.

    Raises ModelFolderError for a tensor that the graph does not have, or has otherwise.
    """

    def __init__(self, triton: TritonConfig, graph: GraphFile) -> None:
        self._triton = triton
        self._compare(graph)
        self.pairs = {state.tensor.name: state.output for state in triton.states}
        controls = [*control_values(triton)]
        self.constants = {name: _shaped(value, graph.inputs[name]) for name, value, _ in controls}
        self.notes = (*self._state_notes(), *(_control_note(*control) for control in controls))

    def _compare(self, graph: GraphFile) -> None:
        """Compare the tensors with those of the graph. Raises ModelFolderError."""
        triton = self._triton
        for entry in triton.inputs:
            self._check("input", entry, graph.inputs)
        for entry in triton.outputs:
            self._check("output", entry, graph.outputs)
        for state in triton.states:
            self._check("state", state.tensor, graph.inputs)
            self._find("state", state.output, graph.outputs)
        for control in triton.controls:
            self._find("control_input", control.name, graph.inputs)

    def _state_notes(self) -> Iterator[str]:
        for state in self._triton.states:
            name = state.tensor.name
            yield f"state {name} is followed by the output {state.output}"
            if state.initial is None:
                yield f"state {name} begins as zeros, since no initial_state is stated"

    @property
    def initial_files(self) -> dict[str, Path]:
        """The files of initial states by the names of these."""
        folder = self._triton.path.parent / INITIAL_FOLDER
        return {
            state.tensor.name: folder / state.initial.file
            for state in self._triton.states
            if state.initial is not None and state.initial.file is not None
        }

    def sized(self, graph: GraphFile) -> GraphFile:
        """Return the graph with the sizes that the configuration states for axes that it leaves open."""
        states = {state.tensor.name: _state_dims(state) for state in self._triton.states}
        states |= {state.output: states[state.tensor.name] for state in self._triton.states}
        inputs = {entry.name: entry.dims for entry in self._triton.inputs} | states
        outputs = {entry.name: entry.dims for entry in self._triton.outputs} | states
        return replace(
            graph,
            inputs={name: self._sized(tensor, inputs.get(name)) for name, tensor in graph.inputs.items()},
            outputs={name: self._sized(tensor, outputs.get(name)) for name, tensor in graph.outputs.items()},
        )

    def _sized(self, tensor: GraphTensor, dims: tuple[int, ...] | None) -> GraphTensor:
        """Return a tensor with `dims` for its open axes. One of size 1 may be the batch, unless Triton makes it."""
        if dims is None:
            return tensor
        whole = (-1, *dims) if self._triton.batched else dims
        if tensor.shape is None:
            return replace(tensor, shape=tuple(None if size == -1 else size for size in whole))
        if len(whole) != len(tensor.shape):
            return tensor
        least = 1 if self._triton.batched else 2
        axes = zip(tensor.shape, whole, strict=True)
        return replace(tensor, shape=tuple(_axis(axis, size, least) for axis, size in axes))

    def complete(self, config: dict[str, Any]) -> None:
        """Enter the initial states that are no zeros."""
        files = self.initial_files
        for entry in config["state"]:
            if entry["input"] in files:
                entry["initial"] = entry["input"]

    def _find(self, kind: str, name: str, tensors: dict[str, GraphTensor]) -> GraphTensor:
        if name not in tensors:
            known = ", ".join(tensors)
            raise ModelFolderError(f"{self._triton.path}: {kind} {name}: found no such tensor in the graph: {known}")
        return tensors[name]

    def _check(self, kind: str, entry: TritonTensor, tensors: dict[str, GraphTensor]) -> None:
        """Compare an entry with the graph's tensor. Raises ModelFolderError."""
        actual, place = self._find(kind, entry.name, tensors), f"{self._triton.path}: {kind} {entry.name}"
        if actual.dtype != entry.dtype:
            raise ModelFolderError(f"{place}: found {entry.dtype}, expected {actual.dtype}, as the graph has it")
        whole = (-1, *entry.dims) if self._triton.batched else entry.dims
        if actual.shape is None or len(whole) != len(actual.shape):
            return  # with `reshape`, or of any shape: the trial compares it
        for size, axis in zip(whole, actual.shape, strict=True):
            if isinstance(axis, int) and size not in {-1, axis}:
                expected = f"{actual.render()}, as the graph has it"
                raise ModelFolderError(f"{place}: found dims {[*entry.dims]}, expected {expected}")


def read_initial_states(files: dict[str, Path], config: dict[str, Any]) -> dict[str, "np.ndarray[Any, Any]"]:
    """Return the initial states of raw files, which have the bytes of a row. Raises ModelFolderError."""
    states = {entry["input"]: entry for entry in config["state"]}
    return {name: _read_initial(path, states[name]) for name, path in files.items() if name in states}


def _read_initial(path: Path, entry: dict[str, Any]) -> "np.ndarray[Any, Any]":
    row, dtype = [axis for axis in entry["shape"] if axis != BATCH], np.dtype(entry["dtype"])
    size = int(np.prod(row)) * dtype.itemsize
    content = read_file(path, size + 1, "an initial state")
    if len(content) != size:
        raise ModelFolderError(f"{path}: found {len(content)} bytes, expected {size}: {entry['dtype']} of shape {row}")
    return np.frombuffer(content, dtype).reshape(row)


def _axis(axis: int | str | None, size: int, least: int) -> int | str | None:
    """Return the size of an axis: that of the graph, else a stated one of at least `least`, else its name."""
    return size if not isinstance(axis, int) and size >= least else axis


def _control_note(name: str, value: float | None, why: str) -> str:
    return f"{name} is {'not known' if value is None else f'{value:g}'}: {why}"


def _state_dims(state: TritonState) -> tuple[int, ...]:
    """Return the sizes of a state: those of its initial value for axes of any size."""
    dims = state.tensor.dims
    first = state.initial.dims if state.initial is not None and len(state.initial.dims) == len(dims) else dims
    return tuple(one if size == -1 else size for size, one in zip(dims, first, strict=True))


def _shaped(value: float | None, tensor: GraphTensor) -> Any:  # noqa: ANN401 - a number, or nested lists of one
    """Return the value of a control as the graph reads it: in lists, one for each axis."""
    if value is None:
        return None
    number = np.array(value).astype(tensor.dtype)
    return np.full((1,) * len(tensor.shape or ()), number).tolist()
