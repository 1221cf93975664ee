"""Time slices of long computations on the event loop."""

import asyncio
import time

#: Longest time that a computation holds the event loop at once, as long as its parts are short.
SLICE_SECONDS = 0.005


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
