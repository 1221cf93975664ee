"""Fresh looks for whoever needs one: one at a time and a pause apart, however many ask."""

import asyncio
from collections.abc import Awaitable, Callable


class FreshLooks:
    """Runs `look` on demand, its beginnings at least `apart_seconds` from each other.

    A look belongs to no request: one that gives up neither ends it nor makes room for another.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], apart_seconds: float) -> None:
        self._look = look
        self._apart_seconds = apart_seconds
        self._not_before = float("-inf")
        self._latest: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return when a look is over that began after this call; those who wait at the same time share it."""
        if self._next is None:
            self._next = self._latest = asyncio.create_task(self._take_turn(self._latest))
        await asyncio.shield(self._next)

    async def _take_turn(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        clock = asyncio.get_running_loop()
        await asyncio.sleep(self._not_before - clock.time())
        self._not_before = clock.time() + self._apart_seconds
        # Whoever asks from here on may know more than this look sees.
        self._next = None
        await self._look()
