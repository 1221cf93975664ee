"""Runs one timestep of a batch; a member that fails, fails alone."""

from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from service.tasks.given_tensors import GivenTensors
from service.types import Operation, Outcome

#: A task's own kinds of state, operation under way, and share of a timestep. The engine looks into none of them.
S = TypeVar("S")
Q = TypeVar("Q", bound="Sequence")
R = TypeVar("R")


class Sequence(Protocol):
    """What the engine sees of an operation under way; tasks know more of theirs."""

    #: The task's state after it; None where the operation leaves none.
    state: Any
    finished: bool

    def receive(self, share: Any, /) -> None:  # noqa: ANN401 each task hands its own kind to its own sequences
        """Take the result of a timestep."""

    def outcome(self, state: bytes) -> Outcome:
        """The result of a finished sequence, with its state as bytes."""


class Task(Protocol[S, Q, R]):
    """What the engine needs of a task."""

    @property
    def initial_state(self) -> S:
        """State 0, as far as there is one without input."""

    @property
    def state_bytes(self) -> int:
        """How much a session stores, apart from what grows with its input."""

    def to_bytes(self, state: S) -> bytes:
        """A state as a session stores it."""

    def from_bytes(self, raw: bytes) -> S:
        """The state that a session stored. Raises StateCorrupted."""

    def to_tensors(self, state: S) -> dict[str, Tensor]:
        """A state by name, as it is exported."""

    def from_tensors(self, given: GivenTensors) -> S:
        """The state that was exported so. Raises InvalidRequest for what does not fit."""

    def start(self, operation: Operation, state: S) -> Q:
        """Check and encode an operation. Raises InvalidRequest and its kinds."""

    def forward(self, batch: list[Q]) -> list[R]:
        """Run one timestep for all of `batch` without changing any of them."""


AnyTask: TypeAlias = Task[Any, Any, Any]


def run_timestep(task: AnyTask, batch: list[Q]) -> list[Exception | None]:
    """Advance every sequence of `batch` by one timestep; returns each one's failure, or None.

    When the shared forward pass fails, each member runs alone, so that only the guilty one fails.
    """
    with torch.inference_mode():
        try:
            shares = task.forward(batch)
        except Exception as error:  # noqa: BLE001 - whatever one member caused must not reach the others
            if len(batch) == 1:
                return [error]
            return [run_timestep(task, [sequence])[0] for sequence in batch]
        return [_deliver(sequence, share) for sequence, share in zip(batch, shares, strict=True)]


def _deliver(sequence: Sequence, share: object) -> Exception | None:
    try:
        sequence.receive(share)
    except Exception as error:  # noqa: BLE001 - likewise
        return error
    return None


def outcome_of(task: AnyTask, sequence: Sequence) -> Outcome:
    """Return the outcome of a finished sequence."""
    return sequence.outcome(b"" if sequence.state is None else task.to_bytes(sequence.state))
