"""Cancellation of requests whose client has disconnected."""

import asyncio

from starlette.types import Receive

from service.application.deadlines import DEPARTED

#: Most requests end within this time, and cost a timer instead of a task.
WATCH_DELAY_SECONDS = 0.25


class DisconnectWatcher:
    """Cancels the task that created it when the client disconnects. Create it once the body is complete.

    Operations that the request waits for in the engine are dropped. A write that has begun is finished by the store.
    """

    __slots__ = ("_receive", "_request", "_task", "_timer", "gone")

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._request = asyncio.current_task()
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_DELAY_SECONDS, self._start)

    def stop(self) -> None:
        """Stop watching: the response has started, or the request has ended."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        # After the body, ASGI sends no other message than a disconnect.
        self.gone = (await self._receive())["type"] == "http.disconnect"
        if self.gone and self._request is not None:
            self._request.cancel(DEPARTED)
