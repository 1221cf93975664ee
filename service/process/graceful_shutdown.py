"""Graceful shutdown of a worker: other workers take over, and every request in progress gets its answer.

1. Readiness fails at once, and no new session is opened. All other requests are served for `drain_seconds`, each answer
   with `Connection: close`, so that clients and load balancers move to other workers.
   WebSockets and gRPC connections are closed at once where other workers accept connections on the same port, else at
   the end of that time: what was read is answered, then the client is told to connect again.
2. After that, no request is admitted: new requests on open connections are answered 503 `shutting_down`.
3. Idle connections are closed a second later, busy ones after their answer.
4. Requests that are not finished a second before the end of the grace time are cancelled. Their answer is a 503 that
   says whether they took effect. The worker exits before the grace time is over.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from service.application.limits.admission import Admission

#: Time that an idle connection stays open for a request that is on its way, which is then answered 503.
IDLE_CLOSE_SECONDS = 1.0
#: Time for the answers to cancelled requests, at most half of the grace time.
CANCEL_GRACE_SECONDS = 1.0
POLL_SECONDS = 0.05


class Connections(Protocol):
    """The server whose connections are closed."""

    def stop_accepting(self) -> None: ...
    def connected(self) -> bool: ...
    def close_idle(self) -> None: ...
    def move_streams(self) -> None:
        """End streams of calls or steps, whose clients then connect again."""

    async def cancel_requests(self) -> None: ...


class GracefulShutdown:
    """Shutdown of one worker's connections, in order. Use it within the event loop."""

    def __init__(self, admission: Admission, *, drain_seconds: float, grace_seconds: float) -> None:
        self._admission = admission
        self._drain_seconds = drain_seconds
        self._grace_seconds = grace_seconds
        self._begun = asyncio.Event()
        self._alone = False
        self._skip_drain = False

    @property
    def begun(self) -> bool:
        return self._begun.is_set()

    def begin(self, *, alone: bool) -> None:
        """Begin the shutdown, once. `alone`: others accept on the same port, so this worker stops accepting at once."""
        if not self.begun:
            self._alone = alone
            self._admission.drain()
            self._begun.set()

    def skip_drain(self) -> None:
        """Refuse new requests from now on; requests in progress keep their grace time."""
        self._skip_drain = True

    async def run(self, connections: Connections) -> None:
        """Wait until the shutdown begins, then close the connections within the grace time."""
        await self._begun.wait()
        loop = asyncio.get_running_loop()
        end = loop.time() + max(self._grace_seconds - CANCEL_GRACE_SECONDS, self._grace_seconds / 2)
        if self._alone:
            connections.stop_accepting()
            connections.move_streams()
        drained_at = min(end, loop.time() + self._drain_seconds)
        await self._wait(drained_at, lambda: self._skip_drain or (self._alone and not connections.connected()))
        connections.stop_accepting()
        connections.move_streams()
        self._admission.close()
        idle_until = min(end, loop.time() + IDLE_CLOSE_SECONDS)
        await self._wait(idle_until, lambda: not connections.connected())
        connections.close_idle()
        await self._wait(end, lambda: not connections.connected())
        await connections.cancel_requests()

    async def _wait(self, until: float, condition: Callable[[], bool]) -> None:
        """Wait for the condition or the time `until`, and then until input that has arrived is read."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if condition() or asyncio.get_running_loop().time() >= until:
                break
        for _ in range(2):  # timers, and the tasks that they wake, run before sockets are read
            await asyncio.sleep(0)
