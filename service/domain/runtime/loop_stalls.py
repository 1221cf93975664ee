"""Time in which the event loop did not run, which is no fault of whoever was to answer meanwhile, such as the store.

A loop that resumes runs its timers before it reads sockets. A timeout would end a call whose reply has long arrived.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

#: How often the lag of the event loop is measured.
SAMPLE_SECONDS = 0.05
#: A lag above this is a stall; shorter ones belong to any busy loop.
STALL_SECONDS = 0.05
#: How long before a timeout the stalls are looked up, more than the resolution of timers.
LEAD_SECONDS = 0.003


class LoopStalls:
    """Total of the time that the event loop of this process did not run, as far as its samples have shown."""

    def __init__(self) -> None:
        self.total = 0.0

    @contextmanager
    def sampled(self, observe: Callable[[float], None]) -> Iterator[None]:
        """Sample the lag of the event loop during the block; `observe` receives each lag in seconds."""
        loop = asyncio.get_running_loop()
        due = loop.time() + SAMPLE_SECONDS
        timer: asyncio.TimerHandle

        def sample() -> None:
            nonlocal due, timer
            # A callback of a timer, since a task would resume behind the timers that are late as well.
            lag = max(0.0, loop.time() - due)
            due = loop.time() + SAMPLE_SECONDS
            timer = loop.call_at(due, sample)
            if lag > STALL_SECONDS:
                self.total += lag
            observe(lag)

        timer = loop.call_at(due, sample)
        try:
            yield
        finally:
            timer.cancel()

    @asynccontextmanager
    async def timeout_at(self, deadline: float) -> AsyncIterator[None]:
        """Bound a block by `deadline`, on the event loop's clock, and by as much more as the loop stalls meanwhile.

        Raises TimeoutError.
        """
        loop = asyncio.get_running_loop()
        before = self.total
        timer: asyncio.TimerHandle

        def extend() -> None:
            nonlocal deadline, before, timer
            if self.total > before and not timeout.expired():
                deadline, before = deadline + self.total - before, self.total
                timeout.reschedule(deadline)
                timer = loop.call_at(deadline - LEAD_SECONDS, extend)

        async with asyncio.timeout_at(deadline) as timeout:
            timer = loop.call_at(deadline - LEAD_SECONDS, extend)
            try:
                yield
            finally:
                timer.cancel()


#: The stalls of this process.
STALLS = LoopStalls()
