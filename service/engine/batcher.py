"""Scheduler of the operations that share the next timestep. It uses neither torch nor asyncio; time is an argument.

Operations join and leave between timesteps ("cellular batching", P. Gao et al., "Low latency RNN inference with
cellular batching", EuroSys 2018): one with 40 tokens and one with a single token share the first forward pass.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.domain.errors import Overloaded


class Schedulable(Protocol):
    """An operation as the batcher sees it."""

    @property
    def group(self) -> Hashable:
        """Operations of one group (a model version) can share a forward pass."""

    @property
    def deadline(self) -> float | None:
        """The time after which the operation has failed, None for no limit."""

    def abandoned(self) -> bool:
        """Return True if nobody waits for the outcome any more."""


OperationT = TypeVar("OperationT", bound=Schedulable)


@dataclass(frozen=True, slots=True)
class Batch(Generic[OperationT]):
    """The operations of one group for the next timestep, and those whose deadline has passed."""

    members: list[OperationT]
    expired: list[OperationT]


@dataclass(slots=True)
class Batcher(Generic[OperationT]):
    """Queues of operations by group, served in turn.

    Args:
        limit: maximum number of operations in one batch.
        capacity: maximum number of queued operations; beyond it `submit` raises Overloaded.
    """

    limit: int
    capacity: int
    _queues: dict[Hashable, deque[OperationT]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def submit(self, operation: OperationT) -> None:
        """Queue an operation behind the others of its group."""
        if len(self) >= self.capacity:
            raise Overloaded(f"{self.capacity} operations are under way, as many as the engine admits", applied="no")
        self._queues.setdefault(operation.group, deque()).append(operation)

    def next(self, now: float) -> Batch[OperationT]:
        """Remove and return the operations that run next; their group moves behind the other groups.

        Abandoned operations are dropped, those past their deadline are returned as expired.
        """
        members: list[OperationT] = []
        expired: list[OperationT] = []
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

    def requeue(self, operations: list[OperationT]) -> None:
        """Queue operations for their next timestep, behind those that arrived meanwhile."""
        for operation in operations:
            self._queues.setdefault(operation.group, deque()).append(operation)

    def clear(self) -> list[OperationT]:
        """Remove and return all operations, when the engine stops."""
        everything = [operation for queue in self._queues.values() for operation in queue]
        self._queues.clear()
        return everything
