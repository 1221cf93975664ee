"""Task `tensor`: runs an ONNX graph on the tensors of clients, with states that sessions store."""

from collections import defaultdict
from typing import Final

import numpy as np

from service.domain.cost import Cost
from service.domain.errors import InvalidRequest
from service.domain.operations import Operation
from service.nets.onnx_graph.network import OnnxNetwork
from service.nets.onnx_graph.runtime import Array, GraphFailure
from service.nets.onnx_graph.state_rows import Rows
from service.tasks.limits import TextLimits
from service.tasks.tensor.cost import tensor_cost
from service.tasks.tensor.operations import TensorOperation, TensorStep
from service.tasks.tensor.requests import RequestReader
from service.tasks.tensor.session_state import TensorStateCodec, require_finite
from service.tasks.tensor.tensors import GraphTensors

#: Parameters of the reference network, a row of which has the cost 1.
REFERENCE_PARAMETERS: Final = 9_000_000
ALONE: Final = "Sessions run one at a time, since the graph has no batch axis."


class TensorTask:
    """Runs a graph for several sessions at once where it has a batch axis, and for one after the other elsewhere."""

    name = "tensor"

    def __init__(self, network: OnnxNetwork, initial: dict[str, Array], limits: TextLimits) -> None:
        self._network, self._config = network, network.config
        self._requests = RequestReader(self._config, limits.input_tokens)
        self._weight = row_cost(network)
        self.state_codec = TensorStateCodec(network.rows)
        self.initial_state = network.initial_row(initial).tobytes()
        self.tensor_interface = GraphTensors(self._config)
        self.note = "" if self._config.batched else ALONE

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:  # noqa: ARG002 - the same in a session
        """Return what an operation takes at most."""
        return tensor_cost(operation, self._network, self._weight)

    def start(self, operation: Operation, state: bytes) -> TensorOperation:
        """Validate and convert the input of an operation on `state`. Raises InvalidRequest or a subclass."""
        return TensorOperation(self._requests.read(operation), state, self._config, self._weight)

    def forward(self, batch: list[TensorOperation]) -> list[TensorStep]:
        """Feed the next timesteps of all operations and return one output for each. Operations are not modified."""
        groups: defaultdict[object, list[int]] = defaultdict(list)
        for index, operation in enumerate(batch):
            groups[operation.signature if self._config.batched else index].append(index)
        steps: dict[int, TensorStep] = {}
        for indices in groups.values():
            steps.update(zip(indices, self._run([batch[index] for index in indices]), strict=True))
        return [steps[index] for index in range(len(batch))]

    def _run(self, batch: list[TensorOperation]) -> list[TensorStep]:
        """Run operations whose rows have the same shapes."""
        rows = [operation.next_rows() for operation in batch]
        states = self._network.rows.stack([operation.state for operation in batch])
        require_finite(self._network.rows, states)
        outputs: list[list[tuple[Array, ...]]] = [[] for _ in batch]
        for step in range(max(len(own[0]) for own in rows)):
            feeding = [index for index, own in enumerate(rows) if len(own[0]) > step]
            results, states = self._advance(_stack(rows, feeding, step), states, feeding)
            for index, own in zip(feeding, zip(*results, strict=True), strict=True):
                outputs[index].append(own)
        return [TensorStep(state.tobytes(), own) for state, own in zip(states, outputs, strict=True)]

    def _advance(self, inputs: list[Array], states: Rows, feeding: list[int]) -> tuple[list[Array], Rows]:
        """Feed a row of inputs to the states with the indices `feeding`; return their outputs, and all states."""
        try:
            if len(feeding) == len(states):  # all of them: no copies
                return self._network.step(inputs, states)
            results, after = self._network.step(inputs, states[feeding])
        except GraphFailure as error:
            raise InvalidRequest(
                f"input.tensors cannot be computed with: {error}; expected inputs that the graph accepts, with finite "
                "outputs",
                param="input.tensors",
            ) from error
        states = states.copy()
        states[feeding] = after
        return results, states


def row_cost(network: OnnxNetwork) -> int:
    """Return the cost of a timestep of one element."""
    return max(1, round(network.parameter_count / REFERENCE_PARAMETERS))


def _stack(rows: list[list[Array]], feeding: list[int], step: int) -> list[Array]:
    """Return each input (B, row) of the operations `feeding` in a timestep."""
    if len(feeding) == len(rows):
        return [np.concatenate([array[step : step + 1] for array in arrays]) for arrays in zip(*rows, strict=True)]
    return [np.stack([rows[index][name][step] for index in feeding]) for name in range(len(rows[0]))]
