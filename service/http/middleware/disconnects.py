"""Cancellation of requests whose client has disconnected."""

import asyncio
from typing import Any

from starlette.types import Receive

from service.application.deadlines import DEPARTED

#: Most requests end within this time after their body is complete, and need no watcher.
WATCH_DELAY_SECONDS = 0.25


class DisconnectWatcher:
    """Cancels a request when its client disconnects. Create it once the body is complete.

    Operations that the request waits for in the engine are dropped. A write that has begun is finished by the store.
    """

    __slots__ = ("_receive", "_request", "_task", "gone")

    def __init__(self, receive: Receive, request: asyncio.Task[Any]) -> None:
        self.gone = False
        self._receive = receive
        self._request = request
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Stop watching: the response has started, or the request has ended."""
        self._task.cancel()

    async def _watch(self) -> None:
        # After the body, ASGI sends no other message than a disconnect.
        self.gone = (await self._receive())["type"] == "http.disconnect"
        if self.gone:
            self._request.cancel(DEPARTED)
