"""Feeding of sequences to a network: timestep by timestep from stored states, or whole sequences at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.sequence_encoding.session_state import stack
from service.tasks.state_layout import StateLayout

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Timesteps of one operation that a pass feeds.

    `inputs` are ids (n,) or rows (n, W), n may be 0. They follow `count` timesteps that gave the state `row` (R,).
    `every`: outputs of every timestep are needed. `last`: the operation ends with this chunk.
    """

    inputs: NDArray[Any]
    row: NDArray[Any]
    count: int
    every: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Fed:
    """The state (R,) after a chunk, and the outputs (m, K): of every timestep, of the last one, or none."""

    row: NDArray[Any]
    outputs: Numbers


class Feeder(Protocol):
    """Runs one pass of several operations."""

    def feed(self, chunks: Sequence[Chunk]) -> list[Fed]:
        """Return the result of each chunk. Chunks are not modified."""


class SteppingNetwork(Protocol):
    """The part of a network that is fed timestep by timestep, for instance of `SequenceEncoder`."""

    def step(self, inputs: Tensor, state: State, counts: Tensor) -> State: ...
    def read_out(self, state: State, counts: Tensor) -> Tensor: ...
    def answer(self, readouts: Tensor) -> Tensor: ...


class StepFeeder:
    """Feeds each state its timesteps, those of all states together."""

    def __init__(self, network: SteppingNetwork, layout: StateLayout) -> None:
        self._network = network
        self._layout = layout

    def feed(self, chunks: Sequence[Chunk]) -> list[Fed]:
        order = sorted(range(len(chunks)), key=lambda index: -len(chunks[index].inputs))
        readouts = _Readouts(self._network, [chunks[index] for index in order])
        rows, counts = self._run(readouts)
        readouts.add_last(self._layout.split(rows), counts)
        answers = _answers(self._network, readouts.values, len(order), readouts.owners)
        results = dict(zip(order, map(Fed, rows.numpy(), answers), strict=True))
        return [results[index] for index in range(len(chunks))]

    def _run(self, readouts: "_Readouts") -> tuple[Tensor, Tensor]:
        """Feed the chunks of `readouts` and add those of every timestep. Return rows (B, R) and timesteps (B, 1)."""
        chunks = readouts.chunks
        rows, counts = stack([chunk.row for chunk in chunks]), _counts(chunks)
        remaining = remaining_counts(chunks)
        ended = [rows[remaining[0] :]]
        state = self._layout.split(rows[: remaining[0]])
        for timestep, (count, after) in enumerate(pairwise(remaining)):
            inputs = torch.from_numpy(np.stack([chunk.inputs[timestep] for chunk in chunks[:count]]))
            state = self._network.step(inputs, state, counts[:count])
            counts[:count] += 1
            readouts.add_every(state, counts[:count])
            if after < count:
                ended.append(self._layout.concat({name: part[after:] for name, part in state.items()}))
                state = {name: part[:after] for name, part in state.items()}
        return ended[-1] if len(ended[-1]) == len(chunks) else torch.cat(ended[::-1]), counts


class _Readouts:
    """Readouts to answer, of chunks that are fed longest first; `owners` are the indices of their chunks."""

    def __init__(self, network: SteppingNetwork, chunks: Sequence[Chunk]) -> None:
        self.chunks = chunks
        self.values: list[Tensor] = []
        self.owners: list[int] = []
        self._network = network
        self._every = [index for index, chunk in enumerate(chunks) if chunk.every]
        self._last = [index for index, chunk in enumerate(chunks) if chunk.last and not chunk.every]

    def add_every(self, state: State, counts: Tensor) -> None:
        """Add a timestep of those of the first chunks that need every one; `state` and `counts` are (B, ...)."""
        self._add([index for index in self._every if index < len(counts)], state, counts)

    def add_last(self, state: State, counts: Tensor) -> None:
        """Add the last timestep of the chunks that end their operation and need no other one."""
        self._add(self._last, state, counts)

    def _add(self, indices: list[int], state: State, counts: Tensor) -> None:
        if indices:
            values = self._network.read_out(state, counts)
            self.values.append(values if len(indices) == len(counts) else values[indices])
            self.owners += indices


def _counts(chunks: Sequence[Chunk]) -> Tensor:
    """Return the numbers of timesteps before the chunks, (B, 1)."""
    return torch.tensor([[float(chunk.count)] for chunk in chunks])


def remaining_counts(chunks: Sequence[Chunk]) -> list[int]:
    """Return for each timestep how many of the chunks, longest first, have one; then 0."""
    lengths = [len(chunk.inputs) for chunk in chunks]
    return [sum(length > timestep for length in lengths) for timestep in range(lengths[0] + 1)]


class WholeNetwork(Protocol):
    """The part of a network that reads whole sequences, for instance of `SequenceEncoder`."""

    def packed_sequences(self, inputs: Tensor, counts: Sequence[int]) -> Tensor: ...
    def read_out_sequence(self, outputs: Tensor) -> Tensor: ...
    def answer(self, readouts: Tensor) -> Tensor: ...


class WholeFeeder:
    """Reads whole sequences, all of a pass together. `skip` timesteps at the beginning of each get no output."""

    def __init__(self, network: WholeNetwork, *, each: bool, skip: int) -> None:
        self._network = network
        self._each = each
        self._skip = skip

    def feed(self, chunks: Sequence[Chunk]) -> list[Fed]:
        order = sorted(range(len(chunks)), key=lambda index: -len(chunks[index].inputs))
        ordered = [chunks[index] for index in order]
        counts = remaining_counts(ordered)[:-1]
        columns = [[chunk.inputs[timestep] for chunk in ordered[:count]] for timestep, count in enumerate(counts)]
        outputs = self._network.packed_sequences(torch.from_numpy(np.stack([*chain.from_iterable(columns)])), counts)
        readouts = [
            self._selected(chunk, self._network.read_out_sequence(own))
            for chunk, own in zip(ordered, _by_sequence(outputs, counts), strict=True)
        ]
        owners = [index for index, own in enumerate(readouts) for _ in range(len(own))]
        answers = _answers(self._network, readouts, len(order), owners)
        results = dict(zip(order, answers, strict=True))
        return [Fed(chunk.row, results[index]) for index, chunk in enumerate(chunks)]

    def _selected(self, chunk: Chunk, readouts: Tensor) -> Tensor:
        """Return the readouts that are needed of those of a sequence, one or as many as it has timesteps."""
        if self._each and chunk.every:
            return readouts[self._skip :]
        return readouts[-1:]


def _by_sequence(outputs: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Return the outputs (T, O) of each sequence, given those (n, O) of all, timestep by timestep."""
    starts = np.cumsum([0, *counts[:-1]])
    return [outputs[torch.from_numpy(starts[np.array(counts) > index] + index)] for index in range(counts[0])]


class _AnsweringNetwork(Protocol):
    def answer(self, readouts: Tensor) -> Tensor: ...


def _answers(
    network: _AnsweringNetwork, readouts: Sequence[Tensor], operations: int, owners: Sequence[int]
) -> list[Numbers]:
    """Return the outputs (m, K) of each operation, given the readouts of all and the index of each one's operation."""
    if not readouts:
        return [np.zeros((0, 0))] * operations
    outputs = network.answer(readouts[0] if len(readouts) == 1 else torch.cat([*readouts])).double().numpy()
    if owners == [*range(operations)]:
        return [outputs[index : index + 1] for index in range(operations)]
    own = np.array(owners)
    return [outputs[own == index] for index in range(operations)]
