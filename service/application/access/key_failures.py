"""Count of the requests without a right API key that each address sent within the last minute."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.errors import RateLimited

log = logging.getLogger("unroll.access")

WINDOW_SECONDS = 60.0
#: Number of addresses that are counted. A new one takes the place of the oldest, so that they cannot fill the memory.
MAX_ADDRESSES = 4096


#: Beyond the limit, the refusals of one address are this many seconds apart.
REFUSAL_SECONDS = 0.02
#: The longest time that a refusal is held back. The number of connections of an address is bounded, too.
MAX_DELAY_SECONDS = 10.0


@dataclass(slots=True)
class _Window:
    """Requests of one address without a right key: `wrong` of them had a wrong one, `missing` had none."""

    end: float
    wrong: int = 0
    missing: int = 0
    next_refusal: float = 0.0


class KeyFailures:
    """Counter of requests without a right key by address, each of which may have `limit` in WINDOW_SECONDS.

    Beyond it, wrong keys are refused with RateLimited, and every refusal is held back by `delay`, so that a flood of
    them takes no time from other clients.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self._monotonic = monotonic
        #: In the order of their ends.
        self._windows: dict[str, _Window] = {}

    def record_missing(self, address: str) -> None:
        """Count a request without a key."""
        self._window(address).missing += 1

    def record_wrong(self, address: str) -> None:
        """Count a wrong key of a client. Raises RateLimited if the client has sent too many."""
        window = self._window(address)
        window.wrong += 1
        if window.wrong <= self._limit:
            return
        wait = window.end - self._monotonic()
        if window.wrong == self._limit + 1:
            log.warning("many wrong API keys", extra={"address": address, "seconds": math.ceil(wait)})
        raise RateLimited(
            f"this address has sent {window.wrong} wrong API keys within {WINDOW_SECONDS:.0f} s: expected at most "
            f"{self._limit} (UNROLL_MAX_WRONG_KEYS)",
            retry_after=max(1, math.ceil(wait)),
        )

    def delay(self, address: str) -> float:
        """Return for how many seconds the refusal of a counted request should be held back."""
        window, now = self._window(address), self._monotonic()
        if window.wrong + window.missing <= self._limit:
            return 0.0
        due = max(now, window.next_refusal)
        window.next_refusal = min(due + REFUSAL_SECONDS, now + MAX_DELAY_SECONDS)
        return due - now

    def _window(self, address: str) -> _Window:
        """Return the current window of an address."""
        window, now = self._windows.get(address), self._monotonic()
        if window is None or now >= window.end:
            self._windows.pop(address, None)
            while len(self._windows) >= MAX_ADDRESSES:
                del self._windows[next(iter(self._windows))]
            window = self._windows[address] = _Window(now + WINDOW_SECONDS)
        return window
