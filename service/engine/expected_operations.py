"""Wait before a forward pass for operations whose records are being read."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

#: A pass waits for so much of the time that the pass before it took. Steps that miss it wait for the whole of it.
WAIT_SHARE = 0.3
#: How many passes do not wait after one that has waited in vain: a store may be slower than that.
PASSES_WITHOUT_WAITING = 8


class ExpectedOperations:
    """Operations that are submitted as soon as the store has answered.

    The event loop does not run during a pass, so that an answer which comes a moment too late is seen only after it.
    """

    def __init__(self) -> None:
        self._announced = 0
        self._arrival: asyncio.Future[None] | None = None
        self._passes_to_skip = 0

    @contextmanager
    def announce(self) -> Iterator[None]:
        """Announce operations that the block submits."""
        self._announced += 1
        try:
            yield
        finally:
            self._announced -= 1
            if not self._announced and self._arrival is not None:
                _resolve(self._arrival)

    async def wait(self, pass_seconds: float) -> None:
        """Wait until all operations that are announced were submitted, but not for long.

        `pass_seconds` is the time that the last forward pass took.
        """
        if not self._announced:
            return
        if self._passes_to_skip:
            self._passes_to_skip -= 1
            return
        loop = asyncio.get_running_loop()
        self._arrival = loop.create_future()
        timer = loop.call_later(WAIT_SHARE * pass_seconds, _resolve, self._arrival)
        try:
            await self._arrival
        finally:
            timer.cancel()
            self._arrival = None
        if self._announced:
            self._passes_to_skip = PASSES_WITHOUT_WAITING


def _resolve(arrival: asyncio.Future[None]) -> None:
    if not arrival.done():
        arrival.set_result(None)
