"""What tensors of a request fit the inputs of a graph, by their names, datatypes and shapes alone.

Most requests of a client have the same ones, so that this is decided once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import TensorInput
from service.domain.tensors import CODES, Tensor
from service.nets.onnx_graph.graph_config import ITEM_BYTES, MAX_ELEMENTS, GraphConfig, InputField, Shape, free_axes

_DTYPES = {name: np.dtype(name) for name in ITEM_BYTES}
_STORED = {datatype: np.dtype(f"<{code}") for datatype, code in CODES.items()}
_BYTES = np.dtype("V1")
_LARGEST = {"float16": float(np.finfo("float16").max), "float32": float(np.finfo("float32").max)}
_LARGEST["float64"] = float(np.finfo("float64").max)
#: The kinds of numbers that each kind accepts.
_ACCEPTED = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
#: Plans that a model keeps. Clients choose shapes, so there may be many.
MAX_PLANS = 256

#: Whether tensors have timesteps, and name, datatype and shape of each.
Signature: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """How a tensor is read: its place among those of the request, dtype of its bytes, and what the graph reads.

    `largest` is the largest number of a dtype of floats, 0 for another one. Numbers whose squares sum to less than
    `squares` are all below it. numpy takes longer to name a dtype than for all the rest of a small tensor.
    """

    position: int
    name: str
    stored: "np.dtype[Any]"
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    largest: float
    squares: float


class TensorPlan(NamedTuple):
    """How the tensors of a request are read, in the order of the inputs.

    `full`: they have the batch axis. `timesteps` is the number of timesteps in a row, by its axis of any size.
    """

    tensors: tuple[PlannedTensor, ...]
    full: bool
    timesteps: int


class Planner:
    """Plans of the requests to a graph, kept by the signatures of requests."""

    def __init__(self, config: GraphConfig, max_steps: int) -> None:
        self._config, self._max_steps = config, max_steps
        self._plans: dict[Signature, TensorPlan] = {}

    def plan(self, tensors: Sequence[Tensor], *, steps: bool) -> TensorPlan:
        """Return the plan of a request.

        Raises InvalidRequest for tensors that do not fit, InputTooLong for more timesteps than are allowed.
        """
        signature: Signature = (steps, *[(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors])
        plan = self._plans.get(signature)
        if plan is None:
            plan = self._make(tensors, steps=steps)
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[signature] = plan
        return plan

    def _make(self, tensors: Sequence[Tensor], *, steps: bool) -> TensorPlan:
        config, positions = self._config, _positions(tensors, self._config)
        axes: dict[str, int] = {}
        planned, fulls = [], []
        for entry in config.inputs:
            position = positions[entry.name]
            shape, full = _row_shape(entry, tensors[position], axes, steps=steps)
            stored, dtype = _dtypes(entry, tensors[position])
            largest = _LARGEST.get(entry.dtype, 0.0)
            planned.append(PlannedTensor(position, entry.name, stored, dtype, shape, largest, largest * largest))
            fulls.append(full)
        _require_equal_steps(planned, self._max_steps)
        length = axes[config.free_axes[0]] if config.free_axes else 1
        return TensorPlan(tuple(planned), fulls[0], length)


def input_steps(tensor_input: TensorInput, config: GraphConfig, *, steps: bool) -> tuple[int, int]:
    """Return how many timesteps an input feeds at most, and the length of each, from shapes alone."""
    sizes = {tensor.name: tensor.shape for tensor in tensor_input.tensors}
    count = length = 1
    for entry in config.inputs:
        shape = sizes.get(entry.name, ())
        if steps and shape:
            count = max(count, shape[0])
        if free_axes(entry.shape):
            length = max(length, math.prod(shape) // max(1, _fixed(entry) * (shape[0] if steps and shape else 1)))
    return count, length


def _fixed(entry: InputField) -> int:
    return math.prod(axis for axis in entry.row if isinstance(axis, int))


def _positions(tensors: Sequence[Tensor], config: GraphConfig) -> dict[str, int]:
    """Return the places of the tensors by name. Raises InvalidRequest for one that is missing or unknown."""
    positions = {tensor.name: index for index, tensor in enumerate(tensors)}
    names = [entry.name for entry in config.inputs]
    for name in names:
        if name not in positions:
            field = f"input.tensors.{name}"
            raise InvalidRequest(f"{field} is missing: expected the tensors {', '.join(names)}", param=field)
    for name in positions:
        if name not in names:
            field = f"input.tensors.{name[:80]}"
            raise InvalidRequest(f"{field} is given: expected only {', '.join(names)}", param=field)
    return positions


def _row_shape(entry: InputField, tensor: Tensor, axes: dict[str, int], *, steps: bool) -> tuple[tuple[int, ...], bool]:
    """Return the shape (T, row) of a tensor, and whether it has the batch axis; enter the sizes of its axes in `axes`.

    Raises InvalidRequest.
    """
    shape, leading = tensor.shape, int(steps)  # the axis of timesteps, if there is one
    full = entry.short is None or len(shape) == leading + len(entry.single)
    expected = entry.single if full or entry.short is None else entry.short
    sizes = shape[leading:]
    if 0 in shape or len(shape) != leading + len(expected) or not _fits(expected, sizes, axes):
        raise _wrong_shape(entry, tensor, axes, steps=steps)
    return (shape[0] if steps else 1, *_sizes(entry.row, axes)), full


def _fits(expected: Shape, sizes: tuple[int, ...], axes: dict[str, int]) -> bool:
    """Return whether sizes are those that are expected, those of a name everywhere the same."""
    return all(
        (axes.setdefault(axis, size) if isinstance(axis, str) else axis) == size
        for axis, size in zip(expected, sizes, strict=True)
    )


def _sizes(row: Shape, axes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(axes[axis] if isinstance(axis, str) else axis for axis in row)


def _wrong_shape(entry: InputField, tensor: Tensor, axes: Mapping[str, int], *, steps: bool) -> InvalidRequest:
    shapes = (entry.single,) if entry.short is None else (entry.single, entry.short)
    lead = ["steps"] if steps else []
    expected = " or ".join(_render([*lead, *shape]) for shape in shapes)
    known = "".join(f", {axis} = {size}" for axis, size in axes.items() if axis in entry.shape)
    field = f"input.tensors.{entry.name}"
    return InvalidRequest(f"{field} has the shape {[*tensor.shape]}: expected {expected}{known}", param=field)


def _render(shape: list[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _dtypes(entry: InputField, tensor: Tensor) -> "tuple[np.dtype[Any], np.dtype[Any]]":
    """Return the dtype of a tensor's bytes, and the one that the graph reads. Raises InvalidRequest for other kinds."""
    dtype, stored = _DTYPES[entry.dtype], _STORED.get(tensor.datatype, _BYTES)
    if stored.kind not in _ACCEPTED[dtype.kind] or tensor.datatype not in CODES:
        kinds = {"f": "numbers", "b": "true or false"}.get(dtype.kind, "integers")
        found = {"f": "numbers with a fraction", "b": "true or false"}.get(stored.kind, "integers")
        raise InvalidRequest(
            f"input.tensors.{entry.name} is of {found}: expected {kinds}, as {entry.dtype} holds",
            param=f"input.tensors.{entry.name}",
        )
    return stored, dtype


def _require_equal_steps(planned: Sequence[PlannedTensor], max_steps: int) -> None:
    count = planned[0].shape[0]
    for entry in planned:
        size = math.prod(entry.shape)
        if entry.shape[0] == count <= max_steps and size <= MAX_ELEMENTS:
            continue
        field = f"input.tensors.{entry.name}"
        if entry.shape[0] != count:
            expected = f"expected {count}, as {planned[0].name} has"
            raise InvalidRequest(f"{field} has {entry.shape[0]} timesteps: {expected}", param=field)
        if count > max_steps:
            raise InputTooLong(f"{field} has {count} timesteps: expected at most {max_steps}", param=field)
        raise InputTooLong(f"{field} has {size} elements: expected at most {MAX_ELEMENTS}", param=field)
