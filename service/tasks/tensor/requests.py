"""Requests to an ONNX graph, read from the operations that all tasks share and validated against its configuration."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from service.domain.errors import InvalidRequest
from service.domain.operations import Infer, OpenSession, Operation, Predict
from service.domain.tensors import Tensor
from service.nets.onnx_graph.graph_config import GraphConfig
from service.nets.onnx_graph.runtime import Array
from service.tasks.inputs import require_tensors
from service.tasks.options import convert_options
from service.tasks.tensor.plans import PlannedTensor, Planner

OWNER = "a model of tensors"


@dataclass(frozen=True, slots=True)
class TensorOptions:
    """The options of a prediction on tensors. With `steps` the first axis of each input has the timesteps."""

    steps: bool = False


@dataclass(slots=True)
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


class RequestReader:
    """Reader of the requests to a graph."""

    def __init__(self, config: GraphConfig, max_steps: int) -> None:
        self._config = config
        self._planner = Planner(config, max_steps)

    def read(self, operation: Operation) -> TensorRequest:
        """Return an operation as a request to a graph.

        Raises InvalidRequest for an operation, option or input that does not fit, InputTooLong for too many timesteps.
        """
        if isinstance(operation, OpenSession):
            raise InvalidRequest(
                "input is given: expected none, since only a translation's session is created with one", param="input"
            )
        if not isinstance(operation, Predict):
            raise InvalidRequest("the model computes tensors: expected predict or a step", param="model")
        options = convert_options(operation.options, TensorOptions, OWNER)
        if operation.input is None:
            names = ", ".join(entry.name for entry in self._config.inputs)
            raise InvalidRequest(f"input is missing: expected input.tensors with {names}", param="input")
        given = require_tensors(operation.input)
        steps = options.steps or given.steps
        plan = self._planner.plan(given.tensors, steps=steps)
        rows = tuple([_read(entry, given.tensors[entry.position]) for entry in plan.tensors])
        packed = isinstance(operation, Infer)
        outputs = operation.outputs if isinstance(operation, Infer) else self._config.output_names
        return TensorRequest(rows, plan.full, steps, outputs, packed, plan.timesteps)


def _read(entry: PlannedTensor, tensor: Tensor) -> Array:
    """Return the rows (T, row) of a tensor as the graph reads them. Raises InvalidRequest for numbers out of range."""
    if tensor.datatype == "BF16":
        array: Array = np.array(tensor.elements(), np.float32)
    else:
        array = np.frombuffer(tensor.data, entry.stored)
    if entry.largest:
        return _floats(entry, array).reshape(entry.shape)
    if array.dtype != entry.dtype:
        array = _integers(entry, array)
    return array.reshape(entry.shape)


def _floats(entry: PlannedTensor, array: Array) -> Array:
    """Return finite numbers in a dtype of floats. Raises InvalidRequest for one that it cannot hold."""
    # One sum tells of almost all inputs that they fit; that of NaN or of an infinite number is not below any limit.
    if array.dtype.kind == "f" and float(array.dot(array)) < entry.squares:
        return array.astype(entry.dtype, copy=False)
    valid = np.abs(array) <= entry.largest
    if not valid.all():
        raise _refusal(entry, array, valid)
    return array.astype(entry.dtype, copy=False)


def _integers(entry: PlannedTensor, array: Array) -> Array:
    """Return integers in another dtype. Raises InvalidRequest for one that it cannot hold."""
    info = np.iinfo(entry.dtype)
    valid = (array >= info.min) & (array <= info.max)
    if not valid.all():
        raise _refusal(entry, array, valid)
    return array.astype(entry.dtype)


def _refusal(entry: PlannedTensor, array: Array, valid: "np.ndarray[Any, np.dtype[np.bool_]]") -> InvalidRequest:
    index, field = int(np.argmin(valid)), f"input.tensors.{entry.name}"
    return InvalidRequest(
        f"{field} holds {array[index].item()!r} at {index}: expected a number that {entry.dtype.name} holds",
        param=field,
    )
