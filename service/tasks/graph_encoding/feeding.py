"""Feeding of sequences to a graph, timestep by timestep, those of all sessions together."""

from collections.abc import Sequence

import numpy as np

from service.domain.errors import InvalidRequest
from service.nets.forecast_inputs.scaling import Numbers
from service.nets.onnx_graph.encoder import GraphEncoder
from service.nets.onnx_graph.runtime import Array, GraphFailure
from service.nets.onnx_graph.state_rows import Rows
from service.tasks.sequence_encoding.feeding import Chunk, Fed, remaining_counts
from service.tasks.tensor.session_state import require_finite

NONE: Numbers = np.zeros((0, 0))


class GraphFeeder:
    """Feeds each state its timesteps. A row has the state of the graph, and behind it its last outputs (K,)."""

    def __init__(self, network: GraphEncoder) -> None:
        self._network = network
        self._size = network.rows.size

    def feed(self, chunks: Sequence[Chunk]) -> list[Fed]:
        order = sorted(range(len(chunks)), key=lambda index: -len(chunks[index].inputs))
        ordered = [chunks[index] for index in order]
        states, outputs = self._split(ordered)
        every: list[list[Array]] = [[] for _ in ordered]
        for timestep, count in enumerate(remaining_counts(ordered)[:-1]):
            inputs = np.stack([chunk.inputs[timestep] for chunk in ordered[:count]])
            outputs[:count], states[:count] = self._advance(inputs, states[:count])
            for index in range(count):
                if ordered[index].every:
                    every[index].append(outputs[index].copy())
        rows = np.concatenate([states, np.ascontiguousarray(outputs).view(np.uint8)], 1)
        fed = [Fed(rows[at], _answered(chunk, outputs[at], every[at])) for at, chunk in enumerate(ordered)]
        results = dict(zip(order, fed, strict=True))
        return [results[index] for index in range(len(chunks))]

    def _split(self, chunks: Sequence[Chunk]) -> tuple[Rows, Array]:
        """Return the states and the last outputs of the chunks. Raises StateCorrupted for a number out of range."""
        rows = np.stack([chunk.row for chunk in chunks])
        states = np.ascontiguousarray(rows[:, : self._size])
        require_finite(self._network.rows, states)
        return states, np.nan_to_num(np.ascontiguousarray(rows[:, self._size :]).view(np.float32))

    def _advance(self, inputs: Array, states: Rows) -> tuple[Array, Rows]:
        try:
            answers, after = self._network.compute(inputs, states)
        except GraphFailure as error:
            raise InvalidRequest(
                f"input cannot be computed with: {error}; expected inputs that the graph accepts, with finite outputs",
                param="input",
            ) from error
        return self._network.outputs_of(answers), after


def _answered(chunk: Chunk, last: Array, every: list[Array]) -> Numbers:
    """Return the outputs (m, K) that a chunk needs: of every timestep, of the last one, or none."""
    if chunk.every:
        return np.stack(every).astype(np.float64) if every else NONE
    return last[None].astype(np.float64) if chunk.last else NONE
