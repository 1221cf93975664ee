"""Quota of the requests that a client may start in one turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

#: Requests of one client that start in one turn, which takes a few milliseconds, while there are other clients.
REQUESTS_PER_TURN = 8
#: How long clients count as several after two of them sent requests.
SHARED_SECONDS = 1.0


class TurnQuota:
    """Starts the requests of each client a few at a time, so that one turn of the event loop never starts hundreds.

    The requests of a client that is alone all start at once. `monotonic` returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last_client: str | None = None
        self._shared_until = 0.0
        self._started: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._scheduled = False

    async def start(self, client: str) -> None:
        """Wait until a request of `client` may start: mostly not at all."""
        if client != self._last_client:
            if self._last_client is not None:
                self._shared_until = self._monotonic() + SHARED_SECONDS
            self._last_client = client
        elif not self._waiting and self._monotonic() >= self._shared_until:
            return
        self._schedule()
        started = self._started.get(client, 0)
        if started < REQUESTS_PER_TURN and client not in self._waiting:
            self._started[client] = started + 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        await turn

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled = False
        self._started.clear()
        for client in [*self._waiting]:
            self._started[client] = self._wake(self._waiting[client])
            if not self._waiting[client]:
                del self._waiting[client]
        if self._waiting:
            self._schedule()

    def _wake(self, waiting: "deque[asyncio.Future[None]]") -> int:
        """Start the next requests of a client and return their number. Those that were cancelled do not count."""
        woken = 0
        while waiting and woken < REQUESTS_PER_TURN:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                woken += 1
        return woken
