"""Decides which operations share the next timestep. Plain code: no torch, no asyncio, time is an argument.

Operations join and leave between timesteps ("cellular batching", P. Gao et al., "Low latency RNN inference with
cellular batching", EuroSys 2018): one with 40 tokens and one with a single token share the first forward pass.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.domain.errors import Overloaded


class Waiting(Protocol):
    """What the batcher asks of an operation."""

    @property
    def group(self) -> Hashable:
        """Operations of one group (a model version) can share a forward pass."""

    @property
    def deadline(self) -> float | None:
        """The time after which nobody waits for the answer."""

    def abandoned(self) -> bool:
        """Whether its client has gone."""


W = TypeVar("W", bound=Waiting)


@dataclass(frozen=True, slots=True)
class Batch(Generic[W]):
    """Operations of one group for the next timestep, and those whose time is over."""

    members: list[W]
    expired: list[W]


@dataclass(slots=True)
class Batcher(Generic[W]):
    """Queues of operations by group, served in turn.

    Args:
        limit: most operations in one batch.
        capacity: most operations under way; past it `submit` raises Overloaded.
    """

    limit: int
    capacity: int
    _queues: dict[Hashable, deque[W]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def submit(self, operation: W) -> None:
        """Queue an operation behind the others of its group."""
        if len(self) >= self.capacity:
            raise Overloaded(f"{self.capacity} operations are under way, as many as the engine admits", applied="no")
        self._queues.setdefault(operation.group, deque()).append(operation)

    def next(self, now: float) -> Batch[W]:
        """Take the operations that run next; the group goes behind the other groups.

        What was abandoned is dropped, what is past its deadline is given back as expired.
        """
        members: list[W] = []
        expired: list[W] = []
        if not self._queues:
            return Batch(members, expired)
        group, queue = next(iter(self._queues.items()))
        while queue and len(members) < self.limit:
            operation = queue.popleft()
            if operation.abandoned():
                continue
            late = operation.deadline is not None and operation.deadline <= now
            (expired if late else members).append(operation)
        del self._queues[group]
        if queue:
            self._queues[group] = queue
        return Batch(members, expired)

    def again(self, operations: list[W]) -> None:
        """Queue operations for their next timestep, behind those that waited meanwhile."""
        for operation in operations:
            self._queues.setdefault(operation.group, deque()).append(operation)

    def drain(self) -> list[W]:
        """Take everything out, for an engine that stops."""
        everything = [operation for queue in self._queues.values() for operation in queue]
        self._queues.clear()
        return everything
