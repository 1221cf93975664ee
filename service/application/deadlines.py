"""Deadlines of requests."""

import asyncio
from dataclasses import dataclass
from types import TracebackType

from service.application.ports import Clock
from service.domain.errors import Applied, DeadlineExceeded, ShuttingDown

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
        self._timeout = asyncio.timeout(max(0.0, deadline.at - deadline.clock.monotonic()))

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
            raise ShuttingDown("this worker had to stop before the request was done", applied=applied) from None

    def _meant_for_others(self, error: asyncio.CancelledError) -> bool:
        """Return whether the client has gone, or an enclosing block has met the deadline first."""
        return DEPARTED in error.args or self._deadline.clock.monotonic() >= self._deadline.at
