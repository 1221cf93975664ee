"""Scheduler of the operations that share the next timestep. It uses neither torch nor asyncio; time is an argument.

Operations join and leave between timesteps ("cellular batching", P. Gao et al., "Low latency RNN inference with
cellular batching", EuroSys 2018): one with 40 tokens and one with a single token share the first forward pass.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeAlias, TypeVar

from service.domain.errors import UnrollError
from service.domain.shares import Shares
from service.engine.fair_clock import FairClock

#: The most cost of a batch for each operation that it may have: of a client that is alone, of several together, and of
#: each of several. Shorter passes let other clients in sooner, and the event loop answers them in between.
ALONE_COST = 4.0
SHARED_COST = 2.0
OWN_COST = 0.5
#: How long clients count as several after two of them had operations under way: many pause between their requests.
SHARED_SECONDS = 1.0


class Schedulable(Protocol):
    """An operation as the batcher sees it."""

    @property
    def group(self) -> Hashable:
        """Operations of one group (a model version) can share a forward pass."""

    @property
    def client(self) -> str:
        """Whoever the operation runs for: clients are served fairly."""

    @property
    def next_cost(self) -> int:
        """The cost of the operation's next timestep, at least 1."""

    @property
    def deadline(self) -> float | None:
        """The time after which the operation has failed, None for no limit."""

    def abandoned(self) -> bool:
        """Return True if nobody waits for the outcome any more."""


OperationT = TypeVar("OperationT", bound=Schedulable)
#: The queues of a group by client.
Queues: TypeAlias = "dict[str, deque[OperationT]]"


@dataclass(frozen=True, slots=True)
class Batch(Generic[OperationT]):
    """The operations of one group for the next timestep, and those whose deadline has passed."""

    members: list[OperationT]
    expired: list[OperationT]


@dataclass(slots=True)
class Batcher(Generic[OperationT]):
    """Queues of operations by group and client. Groups are served in turn, and clients fairly, see `FairClock`.

    A client that is alone has one queue for each group, first in, first out.

    Args:
        limit: maximum number of operations in one batch. It also bounds the cost of a batch, by ALONE_COST, SHARED_COST
            and OWN_COST, unless a single operation costs more.
        capacity: maximum number of operations under way, which clients share, see `Shares`.
        weight_of: returns the weight of a client, in relation to which it is served beside others.
    """

    limit: int
    capacity: int
    weight_of: Callable[[str], float] = lambda _: 1.0
    _groups: "dict[Hashable, Queues[OperationT]]" = field(default_factory=dict)
    _clock: FairClock = field(init=False)
    _queued: int = 0
    _shared_until: float = -math.inf
    _places: Shares = field(init=False)

    def __post_init__(self) -> None:
        self._places = Shares(self.capacity)
        self._clock = FairClock(self.weight_of)

    def __len__(self) -> int:
        return self._queued

    @property
    def under_way(self) -> int:
        """The number of operations that are queued or run."""
        return self._places.used

    def is_shared(self, now: float) -> bool:
        """Return whether several clients have operations under way, or had a moment ago."""
        return now < self._shared_until

    def require_place(self, client: str) -> None:
        """Raise Overloaded or RateLimited unless there is a place for an operation of a client."""
        if not self._places.grants(client):
            raise self._refusal(client)

    def submit(self, operation: OperationT) -> None:
        """Queue an operation behind the others of its client and group. Raises as `require_place`."""
        client = operation.client
        if not self._places.acquire(client):
            raise self._refusal(client)
        if self._places.held(client) == 1:
            self._clock.join(client)
        self._append(operation)

    def _append(self, operation: OperationT) -> None:
        self._queued += 1
        self._groups.setdefault(operation.group, {}).setdefault(operation.client, deque()).append(operation)

    def _refusal(self, client: str) -> UnrollError:
        return self._places.refusal(client, "operations are under way", "UNROLL_MAX_QUEUE", "the engine")

    def next(self, now: float) -> Batch[OperationT]:
        """Remove and return the operations that run next; their group moves behind the other groups.

        Abandoned operations are dropped, those past their deadline are returned as expired. The members hold their
        places until they are released.
        """
        batch: Batch[OperationT] = Batch([], [])
        if not self._groups:
            return batch
        if self._places.clients > 1:
            self._shared_until = now + SHARED_SECONDS
        shared = self.is_shared(now)
        group = self._most_urgent_group() if shared and len(self._groups) > 1 else next(iter(self._groups))
        queues = self._groups.pop(group)
        if shared:
            self._take_fairly(queues, batch, now)
        else:
            for queue in queues.values():
                self._take(queue, batch, now, self.limit, ALONE_COST * self.limit)
        for client in [client for client, queue in queues.items() if not queue]:
            del queues[client]
        if queues:
            self._groups[group] = queues
        return batch

    def _most_urgent_group(self) -> Hashable:
        """Return the group with the client that is next in turn; of equal ones, the group that waits longest."""
        return min(self._groups, key=lambda group: min(map(self._clock.tag, self._groups[group])))

    def _take_fairly(self, queues: "Queues[OperationT]", batch: Batch[OperationT], now: float) -> None:
        """Take operations of many clients, one at a time, always of the client that is next in turn.

        Behind a client that has all it may have of the batch, others only get what they would beside it: else each
        would fill the batch up to the same cost, whatever its weight.
        """
        turns = [(self._clock.tag(client), order, client) for order, client in enumerate(queues)]
        heapify(turns)
        cost, max_cost = 0, SHARED_COST * self.limit
        left, horizon = dict.fromkeys(queues, OWN_COST * self.limit), math.inf
        while turns and len(batch.members) < self.limit:
            tag, order, client = heappop(turns)
            if tag >= horizon:
                break
            own = self._take(queues[client], batch, now, 1, min(max_cost - cost, left[client]))
            if own:
                cost, left[client] = cost + own, left[client] - own
                self._clock.charge(client, own)
                heappush(turns, (self._clock.tag(client), order, client))
            elif queues[client]:  # it waits for the next pass
                horizon = min(horizon, tag + left[client] / self.weight_of(client))

    def _take(self, queue: deque[OperationT], batch: Batch[OperationT], now: float, limit: int, max_cost: float) -> int:
        """Move up to `limit` operations, which cost no more than `max_cost` together, to the batch; return their cost.

        An operation that costs more has the batch for itself.
        """
        total = taken = 0
        while queue and taken < limit:
            operation = queue[0]
            late = operation.deadline is not None and operation.deadline <= now
            if late or operation.abandoned():
                self._drop(queue.popleft(), batch)
                continue
            cost = operation.next_cost
            if total + cost > max_cost and batch.members:
                break
            total, taken = total + cost, taken + 1
            self._queued -= 1
            batch.members.append(queue.popleft())
        return total

    def _drop(self, operation: OperationT, batch: Batch[OperationT]) -> None:
        """Remove an operation from the queue that nobody waits for, or whose deadline has passed."""
        self._queued -= 1
        self._places.release(operation.client)
        if not operation.abandoned():
            batch.expired.append(operation)

    def requeue(self, operations: Sequence[OperationT]) -> None:
        """Queue operations for their next timestep, behind those that arrived meanwhile."""
        for operation in operations:
            self._append(operation)

    def charge(self, operation: OperationT, cost: int) -> None:
        """Charge an operation's client for work outside of the forward passes."""
        self._clock.charge(operation.client, cost)

    def release(self, operations: Sequence[OperationT]) -> None:
        """Release the places of members that have ended."""
        for operation in operations:
            self._places.release(operation.client)
        if not self._places.used:
            self._clock.reset()

    def clear(self) -> list[OperationT]:
        """Remove and return all operations, when the engine stops."""
        everything = [*self._all()]
        self._groups.clear()
        self._queued = 0
        return everything

    def _all(self) -> Iterator[OperationT]:
        for queues in self._groups.values():
            for queue in queues.values():
                yield from queue
