"""Operations on an ONNX graph in progress: rows of inputs are fed one timestep after the other."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from service.domain.operations import Base64, Json, Outcome
from service.nets.onnx_graph.graph_config import BATCH, GraphConfig, TensorField
from service.nets.onnx_graph.runtime import Array
from service.tasks.base import NUMBERS_PER_ROW
from service.tasks.tensor.requests import TensorRequest

#: Timesteps that one pass of the engine feeds for an operation; more would delay the other operations.
CHUNK = 16


@dataclass(frozen=True, slots=True)
class TensorStep:
    """The output of a pass for one operation: its state, and the outputs of the graph for each timestep."""

    state: bytes
    outputs: list[tuple[Array, ...]]


class TensorOperation:
    """A prediction, or the step of a session. `weight` is the cost of a timestep of one element."""

    def __init__(self, request: TensorRequest, state: bytes, config: GraphConfig, weight: int) -> None:
        self.state = state
        self.finished = False
        self._request, self._config = request, config
        self._weight = weight * request.timesteps
        self._count, self._fed = len(request.rows[0]), 0
        self._results: list[tuple[Array, ...]] = []

    @property
    def signature(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of a row: operations with the same ones can share a run."""
        return tuple(array.shape[1:] for array in self._request.rows)

    @property
    def next_cost(self) -> int:
        """The cost of the timesteps of the next pass."""
        return self._weight * min(CHUNK, self._count - self._fed)

    @property
    def outcome_cost(self) -> int:
        """The cost of the outcome, by its numbers."""
        return sum(array.size for outputs in self._results for array in outputs) // NUMBERS_PER_ROW

    def next_rows(self) -> list[Array]:
        """Return the inputs (n, row) of the timesteps of the next pass."""
        return [array[self._fed : self._fed + CHUNK] for array in self._request.rows]

    def update(self, step_output: TensorStep) -> None:
        """Apply the output of a pass to the operation."""
        self.state = step_output.state
        self._results += step_output.outputs
        self._fed = len(self._results)
        self.finished = self._fed == self._count

    def outcome(self, state: bytes) -> Outcome:
        """Return the outputs, nested or packed, with `state` as the encoded state."""
        request = self._request
        outputs: dict[str, Json] = {}
        for entry, arrays in zip(self._config.outputs, zip(*self._results, strict=True), strict=True):
            if entry.name in request.outputs:
                array = np.stack(arrays) if request.steps else arrays[0]
                outputs[entry.name] = pack(array) if request.packed else self._nested(entry, array)
        return Outcome({"tensors": outputs}, state, self._count * request.timesteps)

    def _nested(self, entry: TensorField, array: Array) -> Any:  # noqa: ANN401 - lists of any depth
        """Return an output as nested lists, with the batch axis if the input had it."""
        leading = 1 if self._request.steps else 0
        if self._request.full and BATCH in entry.shape:
            array = np.expand_dims(array, leading + entry.shape.index(BATCH))
        elif not self._request.full and BATCH not in entry.shape and entry.shape[:1] == (1,):
            array = array.squeeze(leading)
        return array.tolist()


def pack(array: Array) -> dict[str, Json]:
    """Return an array as its shape and its little-endian bytes."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {"shape": [*array.shape], "data": Base64(little.tobytes())}
