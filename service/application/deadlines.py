"""Deadlines of requests, and a sweeper that ends what is past its deadline."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from service.application.ports import Clock
from service.domain.errors import STOPPED, Applied, DeadlineExceeded, ShuttingDown

#: How often waiting requests are compared with the clock, and so how late their deadline may be noticed.
SWEEP_SECONDS = 0.02
#: What a request is cancelled with whose client has gone: there is nobody to tell what took effect.
DEPARTED = "the client has gone"


@dataclass(slots=True)
class AppliedStatus:
    """The effect of a request so far, for the error of a request that is cut off."""

    applied: Applied


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time, on the monotonic clock, at which a request has used its `budget` of seconds."""

    clock: Clock
    at: float
    budget: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return cls(clock, clock.monotonic() + seconds, seconds)

    def check(self) -> None:
        """Raise DeadlineExceeded with `applied: "no"` if the deadline has passed."""
        if self.clock.monotonic() >= self.at:
            raise self.exceeded("no")

    def remaining(self) -> float:
        """Return the seconds that are left, 0 once the deadline has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    def exceeded(self, applied: Applied) -> DeadlineExceeded:
        """Return the error for a request whose deadline has passed."""
        return DeadlineExceeded(
            f"the request was not done within the {self.budget * 1000:.0f} ms that X-Request-Timeout-Ms or the service "
            "allows: try again, with more time",
            applied=applied,
        )

    def enforce(self, applied: Applied = "no") -> "DeadlineScope":
        """Cancel a block at the deadline: `async with deadline.enforce() as status`.

        Raises DeadlineExceeded with `status.applied`, which starts as `applied`, and ShuttingDown likewise if a worker
        that stops cancels the request. A cancellation with DEPARTED is passed on unchanged.
        """
        return DeadlineScope(self, AppliedStatus(applied))


class DeadlineScope:
    """Context manager of `Deadline.enforce`. It is no generator, because each request enters several."""

    __slots__ = ("_deadline", "_status", "_timeout")

    def __init__(self, deadline: Deadline, status: AppliedStatus) -> None:
        self._deadline = deadline
        self._status = status
        self._timeout = asyncio.timeout(deadline.remaining())

    async def __aenter__(self) -> AppliedStatus:
        await self._timeout.__aenter__()
        return self._status

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._deadline.exceeded(self._status.applied) from None
        if isinstance(error, asyncio.CancelledError) and not self._meant_for_others(error):
            applied = self._status.applied
            raise ShuttingDown(STOPPED, applied=applied) from None

    def _meant_for_others(self, error: asyncio.CancelledError) -> bool:
        """Return whether the client has gone, or an enclosing block has met the deadline first."""
        return DEPARTED in error.args or self._deadline.clock.monotonic() >= self._deadline.at


class Expirable(Protocol):
    """Something with a deadline in seconds on the monotonic clock."""

    @property
    def deadline(self) -> float: ...


ItemT = TypeVar("ItemT", bound=Expirable)


class DeadlineSweeper(Generic[ItemT]):
    """Deadlines of many waiting items, compared with the clock by one timer.

    A timer of its own for every request of a worker costs more than to look at all of them every SWEEP_SECONDS.
    `expire` is called for each item whose deadline has passed; it is removed then.
    """

    def __init__(self, monotonic: Callable[[], float], expire: Callable[[ItemT], None]) -> None:
        self._monotonic = monotonic
        self._expire = expire
        self._items: set[ItemT] = set()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: ItemT) -> None:
        """Watch the deadline of `item` from now on."""
        self._items.add(item)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def discard(self, item: ItemT) -> None:
        """Stop watching `item`."""
        self._items.discard(item)

    def _sweep(self) -> None:
        now = self._monotonic()
        for item in [item for item in self._items if item.deadline <= now]:
            self._items.discard(item)
            self._expire(item)
        self._scheduled = bool(self._items)
        if self._scheduled:
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
