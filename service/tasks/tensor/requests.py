"""Requests to an ONNX graph, read from the operations that all tasks share and validated against its configuration."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Infer, OpenSession, Operation, Predict, TensorInput
from service.domain.tensors import CODES, Tensor
from service.nets.onnx_graph.runtime import Array
from service.nets.onnx_graph.tensor_config import ITEM_BYTES, MAX_ELEMENTS, InputField, Shape, TensorConfig, free_axes
from service.tasks.inputs import require_tensors
from service.tasks.options import convert_options

OWNER = "a model of tensors"
_DTYPES = {name: np.dtype(name) for name in ITEM_BYTES}
_STORED = {datatype: np.dtype(f"<{code}") for datatype, code in CODES.items()}
_BYTES = np.dtype("V1")
#: The kinds of numbers that each kind accepts.
_ACCEPTED = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
_LARGEST = {name: float(np.finfo(name).max) for name in ("float16", "float32", "float64")}


@dataclass(frozen=True, slots=True)
class TensorOptions:
    """The options of a prediction on tensors. With `steps` the first axis of each input has the timesteps."""

    steps: bool = False


@dataclass(frozen=True, slots=True)
class TensorRequest:
    """The inputs to feed: `rows` are arrays (T, row), one for each input of the configuration.

    `full`: the client sent the batch axis, and gets it in the outputs. `steps`: it sent timesteps, and gets as many.
    `outputs` are the names of those that it wants. `packed` asks for bytes in place of nested lists. `timesteps` is the
    number of timesteps in a row, by its axis of any size, if it has one.
    """

    rows: tuple[Array, ...]
    full: bool
    steps: bool
    outputs: tuple[str, ...]
    packed: bool
    timesteps: int


def read_request(operation: Operation, config: TensorConfig, max_steps: int) -> TensorRequest:
    """Return an operation as a request to a graph.

    Raises InvalidRequest for an operation, option or input that does not fit, InputTooLong for more than `max_steps`.
    """
    if isinstance(operation, OpenSession):
        raise InvalidRequest(
            "input is given: expected none, since only a translation's session is created with one", param="input"
        )
    if not isinstance(operation, Predict):
        raise InvalidRequest("the model computes tensors: expected predict or a step", param="model")
    options = convert_options(operation.options, TensorOptions, OWNER)
    if operation.input is None:
        names = ", ".join(entry.name for entry in config.inputs)
        raise InvalidRequest(f"input is missing: expected input.tensors with {names}", param="input")
    tensor_input = require_tensors(operation.input)
    steps = options.steps or tensor_input.steps
    tensors = _by_name(tensor_input, config)
    axes: dict[str, int] = {}
    read = [_read(entry, tensors[entry.name], axes, steps=steps) for entry in config.inputs]
    rows = tuple(array for array, _ in read)
    _require_equal_steps(config, rows, max_steps)
    outputs = operation.outputs if isinstance(operation, Infer) else config.output_names
    length = _length(config, axes)
    return TensorRequest(rows, read[0][1], steps, outputs, isinstance(operation, Infer), length)


def input_steps(tensor_input: TensorInput, config: TensorConfig, *, steps: bool) -> tuple[int, int]:
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


def _by_name(tensor_input: TensorInput, config: TensorConfig) -> dict[str, Tensor]:
    """Return the tensors by name. Raises InvalidRequest for one that is missing or unknown."""
    tensors = {tensor.name: tensor for tensor in tensor_input.tensors}
    names = [entry.name for entry in config.inputs]
    for name in names:
        if name not in tensors:
            field = f"input.tensors.{name}"
            raise InvalidRequest(f"{field} is missing: expected the tensors {', '.join(names)}", param=field)
    for name in tensors:
        if name not in names:
            field = f"input.tensors.{name[:80]}"
            raise InvalidRequest(f"{field} is given: expected only {', '.join(names)}", param=field)
    return tensors


def _read(entry: InputField, tensor: Tensor, axes: dict[str, int], *, steps: bool) -> tuple[Array, bool]:
    """Return the rows (T, row) of a tensor, and whether it has the batch axis; enter the sizes of its axes in `axes`.

    Raises InvalidRequest.
    """
    shape, leading = tensor.shape, int(steps)  # the axis of timesteps, if there is one
    full = entry.short is None or len(shape) == leading + len(entry.single)
    expected = entry.single if full or entry.short is None else entry.short
    sizes = shape[leading:]
    if 0 in shape or len(shape) != leading + len(expected) or (sizes != expected and not _fits(expected, sizes, axes)):
        raise _wrong_shape(entry, tensor, axes, steps=steps)
    row = _sizes(entry.row, axes) if axes else entry.row
    return _array(entry, tensor).reshape(shape[0] if steps else 1, *row), full


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


def _array(entry: InputField, tensor: Tensor) -> Array:
    """Return the elements of a tensor in the dtype of the input. Raises InvalidRequest for others than it holds."""
    field, dtype = f"input.tensors.{entry.name}", _DTYPES[entry.dtype]
    if tensor.datatype == "BF16":
        array: Array = np.array(tensor.elements(), np.float32)
    else:
        array = np.frombuffer(tensor.data, _STORED.get(tensor.datatype, _BYTES))
    accepted = _ACCEPTED[dtype.kind]
    if array.dtype.kind not in accepted or tensor.datatype not in CODES:
        kinds = {"f": "numbers", "b": "true or false"}.get(dtype.kind, "integers")
        raise InvalidRequest(f"{field} is of {_kind(array)}: expected {kinds}, as {entry.dtype} holds", param=field)
    if array.dtype == dtype and dtype.kind != "f":
        return array
    return _converted(field, array, entry.dtype)


def _kind(array: Array) -> str:
    return {"f": "numbers with a fraction", "b": "true or false"}.get(array.dtype.kind, "integers")


def _converted(field: str, array: Array, dtype: str) -> Array:
    """Return finite numbers in another dtype. Raises InvalidRequest for one that it cannot hold."""
    if dtype in _LARGEST:
        limit = _LARGEST[dtype]
        sizes = np.abs(array)
        if np.maximum.reduce(sizes, axis=None) <= limit:  # not so if a number is NaN
            return array.astype(dtype, copy=False)
        valid = sizes <= limit
    else:
        info = np.iinfo(dtype)
        valid = (array >= info.min) & (array <= info.max)
    if valid.all():
        return array.astype(dtype)
    index = int(np.argmin(valid))
    raise InvalidRequest(
        f"{field} holds {array[index].item()!r} at {index}: expected a number that {dtype} holds", param=field
    )


def _require_equal_steps(config: TensorConfig, rows: tuple[Array, ...], max_steps: int) -> None:
    count = len(rows[0])
    for entry, array in zip(config.inputs, rows, strict=True):
        if len(array) == count <= max_steps and array.size <= MAX_ELEMENTS:
            continue
        field = f"input.tensors.{entry.name}"
        if len(array) != count:
            expected = f"expected {count}, as {config.inputs[0].name} has"
            raise InvalidRequest(f"{field} has {len(array)} timesteps: {expected}", param=field)
        if count > max_steps:
            raise InputTooLong(f"{field} has {count} timesteps: expected at most {max_steps}", param=field)
        raise InputTooLong(f"{field} has {array.size} elements: expected at most {MAX_ELEMENTS}", param=field)


def _length(config: TensorConfig, axes: Mapping[str, int]) -> int:
    """Return the size of the first axis of any size, 1 if there is none."""
    return axes[config.free_axes[0]] if config.free_axes else 1
