"""Quota of the requests that a client may start in one turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

#: Requests of one client that start in one turn, which takes a few milliseconds, while there are other clients: enough
#: to fill a batch within a few turns.
REQUESTS_PER_TURN = 8
#: If more than FLOOD requests of a client wait, fewer start: they wait for longer than a batch takes in any case.
FLOOD = 64
FLOOD_PER_TURN = 2
#: A body of this many bytes takes as long to read as a small request takes as a whole.
BYTES_PER_REQUEST = 2048
#: How long clients count as several after two of them sent requests.
SHARED_SECONDS = 1.0


class TurnQuota:
    """Starts the requests of each client a few at a time, so that one turn of the event loop never starts hundreds.

    A request with a large body counts as several. The requests of a client that is alone all start at once.
    `monotonic` returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last_client: str | None = None
        self._shared_until = 0.0
        #: What each client started in this turn, and in earlier ones beyond its quota.
        self._started: dict[str, int] = {}
        self._waiting: dict[str, deque[tuple[asyncio.Future[None], int]]] = {}
        self._scheduled = False

    async def start(self, client: str, body_bytes: int = 0) -> None:
        """Wait until a request of `client` with a body of so many bytes may start: mostly not at all."""
        if client != self._last_client:
            if self._last_client is not None:
                self._shared_until = self._monotonic() + SHARED_SECONDS
            self._last_client = client
        elif not self._waiting and self._monotonic() >= self._shared_until:
            return
        self._schedule()
        started, count = self._started.get(client, 0), 1 + body_bytes // BYTES_PER_REQUEST
        if started < REQUESTS_PER_TURN and client not in self._waiting:
            self._started[client] = started + count
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append((turn, count))
        await turn

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled = False
        self._started = {
            client: started - REQUESTS_PER_TURN
            for client, started in self._started.items()
            if started > REQUESTS_PER_TURN
        }
        for client in [*self._waiting]:
            self._wake(client, self._waiting[client])
            if not self._waiting[client]:
                del self._waiting[client]
        if self._waiting or self._started:
            self._schedule()

    def _wake(self, client: str, waiting: "deque[tuple[asyncio.Future[None], int]]") -> None:
        """Start the next requests of a client. Those that were cancelled do not count."""
        quota = REQUESTS_PER_TURN if len(waiting) <= FLOOD else FLOOD_PER_TURN
        while waiting and self._started.get(client, 0) < quota:
            turn, count = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._started[client] = self._started.get(client, 0) + count
