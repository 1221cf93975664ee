"""Time slices of long computations on the event loop."""

import asyncio
import time

#: Longest time that a computation holds the event loop at once, as long as its parts are short.
SLICE_SECONDS = 0.005
#: Longest time that the computations of many requests hold it in one turn together.
TURN_SECONDS = 0.002


class TimeSlices:
    """Divides a computation of many parts: between parts, it lets the event loop run when a time slice is over."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = time.monotonic() + SLICE_SECONDS

    async def pause(self) -> None:
        """Let the event loop run if the time slice is over."""
        if time.monotonic() >= self._end:
            await asyncio.sleep(0)
            self._end = time.monotonic() + SLICE_SECONDS


class TurnSlices:
    """Bounds the time that the computations of many requests take in one turn of the event loop together."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end: float | None = None

    async def pause(self) -> None:
        """Wait for a turn of the event loop with time left, before a part of a computation."""
        while not self._has_time():  # noqa: ASYNC110 - an event would wake all at once
            await asyncio.sleep(0)

    def _has_time(self) -> bool:
        now = time.monotonic()
        if self._end is None:  # the first one in this turn
            self._end = now + TURN_SECONDS
            asyncio.get_running_loop().call_soon(self._end_turn)
        return now < self._end

    def _end_turn(self) -> None:
        self._end = None
