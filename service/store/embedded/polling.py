"""Polling of a condition, for callers without an event loop."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.02


def poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition becomes true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
