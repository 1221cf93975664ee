"""Limit of a worker's memory: a worker above it is renewed in order, before the kernel kills one without warning."""

import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)

#: Part of the memory beside the embedded store that the workers may use. The rest is for a new one beside an old one.
WORKERS_FRACTION = 0.8
#: A new worker would soon be as large as one that has grown by less than this factor since it was ready.
MIN_GROWTH = 1.25
#: Pause after a renewal. It doubles while renewals follow each other without a longer pause.
MIN_PAUSE_SECONDS = 60.0
MAX_PAUSE_SECONDS = 960.0


class Process(Protocol):
    """Process with an id."""

    @property
    def pid(self) -> int: ...


def default_limit(available_bytes: int, workers: int) -> int:
    """Return the limit of each of `workers`, of the memory that the embedded store leaves."""
    return int(WORKERS_FRACTION * available_bytes / workers)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if it is gone or the system has no /proc."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class MemoryLimit:
    """Limit in bytes (0: none) of each worker. Times are seconds on a monotonic clock, passed as arguments."""

    def __init__(self, limit: int, read: Callable[[int], int] = resident_bytes) -> None:
        self.limit = limit or math.inf
        #: Memory of the largest worker at the last check.
        self.largest = 0
        self._read = read
        self._initial: dict[int, int] = {}
        self._renewed_at = -math.inf
        self._pause = MIN_PAUSE_SECONDS

    def exceeding(self, workers: Sequence[Process], now: float) -> int | None:
        """Return the pid of the worker to renew: of the ready `workers`, the largest above the limit."""
        used = {worker.pid: self._read(worker.pid) for worker in workers}
        self.largest = max(used.values(), default=0)
        self._initial = {pid: self._initial.get(pid, size) for pid, size in used.items()}
        above = {pid: size for pid, size in used.items() if size > max(self.limit, MIN_GROWTH * self._initial[pid])}
        if not above or now < self._renewed_at + self._pause:
            return None
        pid = max(above, key=above.__getitem__)
        frequent = now < self._renewed_at + 2 * self._pause
        self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS) if frequent else MIN_PAUSE_SECONDS
        self._renewed_at = now
        log.warning(
            "worker above its memory limit; renewing it",
            extra={"pid": pid, "bytes": above[pid], "limit": self.limit, "bytes_at_start": self._initial[pid]},
        )
        return pid
