"""Count of the wrong API keys that each address sent within the last minute."""

import logging
import math
from collections.abc import Callable

from starlette.types import Scope

from service.domain.errors import RateLimited
from service.http.middleware.addresses import client_address

log = logging.getLogger("unroll.access")

WINDOW_SECONDS = 60.0
#: Number of addresses that are counted. A new one takes the place of the oldest, so that they cannot fill the memory.
MAX_ADDRESSES = 4096


class KeyFailures:
    """Counter of wrong keys by address. Each address has `limit` of them in a window of WINDOW_SECONDS."""

    def __init__(self, limit: int, monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self._monotonic = monotonic
        #: Count and end of the window by address, in the order of the windows.
        self._windows: dict[str, tuple[int, float]] = {}

    def record(self, scope: Scope) -> None:
        """Count a wrong key of the client of a request. Raises RateLimited if the client has sent too many."""
        address, now = client_address(scope), self._monotonic()
        count, end = self._windows.get(address, (0, 0.0))
        if now >= end:
            count, end = 0, now + WINDOW_SECONDS
            self._windows.pop(address, None)
            self._make_room()
        self._windows[address] = (count + 1, end)
        if count < self._limit:
            return
        if count == self._limit:
            log.warning("many wrong API keys", extra={"address": address, "seconds": math.ceil(end - now)})
        raise RateLimited(
            f"this address has sent {count + 1} wrong API keys within {WINDOW_SECONDS:.0f} s: expected at most "
            f"{self._limit} (UNROLL_MAX_WRONG_KEYS)",
            retry_after=max(1, math.ceil(end - now)),
        )

    def _make_room(self) -> None:
        while len(self._windows) >= MAX_ADDRESSES:
            del self._windows[next(iter(self._windows))]
