"""Graceful shutdown of a worker: other workers take over, and every request in progress gets its answer.

1. At once readiness fails and no session is opened. For `drain_seconds` everything else is served, each answer with
   `Connection: close`, so that clients and load balancers move on by themselves.
2. Then nobody is admitted: what still comes over open connections is answered 503 `shutting_down`.
3. Idle connections are closed a second later, busy ones after their answer.
4. What is not done a second before the end of the grace time is cancelled, and answered 503 with what is known of its
   effect: the worker is gone when that time is over.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from service.application.admission import Admission

#: How long an idle connection stays open to get its 503: a request may be on its way.
IDLE_CLOSE_SECONDS = 1.0
#: For the answers to what is cut off; half of the grace time at most.
CANCEL_GRACE_SECONDS = 1.0
POLL_SECONDS = 0.05


class Connections(Protocol):
    """The server whose connections are closed."""

    def stop_accepting(self) -> None: ...
    def connected(self) -> bool: ...
    def close_idle(self) -> None: ...
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
        moved_at = min(end, loop.time() + self._drain_seconds)
        await self._wait(moved_at, lambda: self._skip_drain or (self._alone and not connections.connected()))
        connections.stop_accepting()
        self._admission.close()
        # The place to end streams, once there are any: each between two of its frames.
        idle_until = min(end, loop.time() + IDLE_CLOSE_SECONDS)
        await self._wait(idle_until, lambda: not connections.connected())
        connections.close_idle()
        await self._wait(end, lambda: not connections.connected())
        await connections.cancel_requests()

    async def _wait(self, until: float, over: Callable[[], bool]) -> None:
        """Wait for `over` or the time `until`, and until input that arrived meanwhile has been read."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if over() or asyncio.get_running_loop().time() >= until:
                break
        for _ in range(2):  # timers run before sockets are read, and so may what they wake
            await asyncio.sleep(0)
