"""A bound on a request's time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.application.ports import Clock
from service.errors import Applied, DeadlineExceeded, ShuttingDown

#: What a request is cancelled with whose client has gone: there is nobody to tell what took effect.
DEPARTED = "the client has gone"


@dataclass(slots=True)
class Effect:
    """What a request has done so far, for an error that cuts it off."""

    applied: Applied


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on the clock's monotonic scale, at which a request has taken `budget` seconds."""

    clock: Clock
    at: float
    budget: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return cls(clock, clock.monotonic() + seconds, seconds)

    def check(self) -> None:
        """Raise DeadlineExceeded when it has passed; nothing has taken effect."""
        if self.clock.monotonic() >= self.at:
            raise self._error("no")

    def _error(self, applied: Applied) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the request was not done within the {self.budget * 1000:.0f} ms that X-Request-Timeout-Ms or the service "
            "allows: try again, with more time",
            applied=applied,
        )

    @asynccontextmanager
    async def bounding(self, applied: Applied = "no") -> AsyncIterator[Effect]:
        """Cancel the block at the deadline. Raises DeadlineExceeded that tells what took effect, first `applied`.

        Raises ShuttingDown likewise where a worker that must go cancels the request before. A cancellation by DEPARTED
        passes as it is.
        """
        effect = Effect(applied)
        try:
            async with asyncio.timeout(max(0.0, self.at - self.clock.monotonic())):
                yield effect
        except TimeoutError:
            raise self._error(effect.applied) from None
        except asyncio.CancelledError as cut_off:
            if DEPARTED in cut_off.args or self.clock.monotonic() >= self.at:
                raise  # in the latter case a block around this one met the deadline first
            raise ShuttingDown("this worker had to stop before the request was done", applied=effect.applied) from None
