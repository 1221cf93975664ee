"""Rate limit of refreshes on demand: one at a time, a minimum interval apart, shared by all who wait."""

import asyncio
from collections.abc import Awaitable, Callable


class RefreshLimiter:
    """Rate limiter that starts `refresh` at most once every `min_interval` seconds.

    A refresh belongs to no request: a request that gives up neither ends it nor makes room for another.
    """

    def __init__(self, refresh: Callable[[], Awaitable[None]], min_interval: float) -> None:
        self._refresh = refresh
        self._min_interval = min_interval
        self._not_before = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return after a refresh that began after this call. Concurrent callers share it."""
        if self._next is None:
            self._next = asyncio.create_task(self._run(list(self._tasks)))
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        await asyncio.shield(self._next)

    async def aclose(self) -> None:
        """Cancel all refreshes, and return when they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, earlier: list[asyncio.Task[None]]) -> None:
        if earlier:
            await asyncio.wait(earlier)
        clock = asyncio.get_running_loop()
        await asyncio.sleep(self._not_before - clock.time())
        self._not_before = clock.time() + self._min_interval
        # A caller from here on may know more than this refresh will see.
        self._next = None
        await self._refresh()
