"""Exposition of the metrics to many scrapers at the cost of one."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

RenderedT = TypeVar("RenderedT")

#: After a rendering, this many times as long passes before the next one, so that scrapers never take most of a worker.
REST_FACTOR = 4


class SharedExposition(Generic[RenderedT]):
    """Renders the metrics in a thread, one rendering at a time.

    Requests that arrive before a rendering begins share it. None gets figures from before its arrival. `flush` runs on
    the event loop before each rendering.
    """

    def __init__(self, flush: Callable[[], None], render: Callable[[], RenderedT]) -> None:
        self._flush = flush
        self._render = render
        self._next: asyncio.Task[RenderedT] | None = None
        self._rendering = asyncio.Lock()
        self._rest_until = 0.0

    async def __call__(self) -> RenderedT:
        """Return what `render` returns."""
        if self._next is None:
            self._next = asyncio.create_task(self._render_next())
        return await asyncio.shield(self._next)

    async def _render_next(self) -> RenderedT:
        loop = asyncio.get_running_loop()
        async with self._rendering:
            await asyncio.sleep(max(0.0, self._rest_until - loop.time()))
            self._next = None
            self._flush()
            started = loop.time()
            try:
                return await asyncio.to_thread(self._render)
            finally:
                self._rest_until = loop.time() + REST_FACTOR * (loop.time() - started)
