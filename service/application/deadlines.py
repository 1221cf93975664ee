"""A bound on a request's time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.application.ports import Clock
from service.errors import DeadlineExceeded


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

    def error(self) -> DeadlineExceeded:
        """Return the error to raise when it has passed and nothing took effect."""
        return DeadlineExceeded(
            f"the request was not done within {self.budget * 1000:.0f} ms (X-Request-Timeout-Ms)", applied="no"
        )

    @asynccontextmanager
    async def bounding(self) -> AsyncIterator[None]:
        """Cancel the block at the deadline. Raises DeadlineExceeded."""
        try:
            async with asyncio.timeout(max(0.0, self.at - self.clock.monotonic())):
                yield
        except TimeoutError:
            raise self.error() from None
