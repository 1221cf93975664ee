"""Pace at which bodies of many chunks are read."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

#: Maximum number of chunks of a body that are parsed at once. A parser that calls back for each of them would keep the
#: event loop from all other connections while it reads a body of a million.
MAX_CHUNKS_AT_ONCE = 256
#: Time until the next ones are parsed, for each body that waits.
WAIT_SECONDS = 0.002
#: Maximum number of bytes of such a body that the parser gets at once.
MAX_SLICE_BYTES = 1024


class Waiting(Protocol):
    """Counter of bodies that wait, of all connections together."""

    waiting_bodies: int


class ChunkPace:
    """Pace of the body that a connection receives. `waits` is true while the rest of what was received has to wait.

    `count` is the number of chunks since the body was last read, and `go_on` is called when the wait is over.
    """

    __slots__ = ("_go_on", "_loop", "_slow", "_waiting", "count", "waits")

    def __init__(self, loop: asyncio.AbstractEventLoop, waiting: Waiting, go_on: Callable[[], None]) -> None:
        self.count = 0
        self.waits = False
        self._slow = False
        self._loop = loop
        self._waiting = waiting
        self._go_on = go_on

    def reset(self) -> None:
        """Begin the next body."""
        self._slow = False

    def slice_end(self, start: int, end: int) -> int:
        """Return the end of a slice for the parser, which begins at `start` and ends at `end` at the latest."""
        return min(end, start + MAX_SLICE_BYTES) if self._slow else end

    def must_wait(self) -> bool:
        """Return whether so many chunks were parsed at once that the rest has to wait, and if so, begin to wait."""
        if self.count <= MAX_CHUNKS_AT_ONCE:
            return False
        self.waits = self._slow = True
        self._waiting.waiting_bodies += 1
        self._loop.call_later(WAIT_SECONDS * self._waiting.waiting_bodies, self._end_wait)
        return True

    def _end_wait(self) -> None:
        self.waits = False
        self._waiting.waiting_bodies -= 1
        self._go_on()


class PacedFlow(FlowControl):
    """Flow control of a connection, which reads nothing while its body waits.

    uvicorn resumes reading whenever the application asks for the next part of a body.
    """

    def __init__(self, transport: asyncio.Transport, pace: ChunkPace) -> None:
        super().__init__(transport)
        self._pace = pace

    def resume_reading(self) -> None:
        if not self._pace.waits:
            super().resume_reading()
