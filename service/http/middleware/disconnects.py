"""Notices that a client goes away while its request is under way, so that nothing more is done for nobody."""

import asyncio

from starlette.types import Receive

from service.application.deadlines import DEPARTED

#: Most requests are over by then, and cost a timer in place of a task that watches.
WATCH_DELAY_SECONDS = 0.25


class DisconnectWatcher:
    """Cancels the task that made it when the client goes; to be made when the body was read to its end.

    What the request waits for in the engine is dropped. A write that has begun is finished by the store.
    """

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._request = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_DELAY_SECONDS, self._begin)

    def end(self) -> None:
        """Watch no longer: an answer is on its way, or the request is over."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        # After the body ASGI tells of nothing else but this.
        self.gone = (await self._receive())["type"] == "http.disconnect"
        if self.gone and self._request is not None:
            self._request.cancel(DEPARTED)
