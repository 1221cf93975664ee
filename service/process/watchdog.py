"""Watchdog over the event loops of the workers."""

import logging
import math
from collections.abc import Sequence
from typing import Protocol

log = logging.getLogger(__name__)

#: Maximum time that counts between two checks. A supervisor that was itself stopped must not blame its workers.
MAX_ELAPSED_SECONDS = 1.0
#: Minimum time for the dump of the stacks, before the worker is killed.
DUMP_SECONDS = 0.2


class WatchedWorker(Protocol):
    """Worker with a heartbeat."""

    @property
    def pid(self) -> int: ...
    def ready(self) -> bool: ...
    def heartbeat(self) -> bool: ...
    def dump_stacks(self) -> None: ...


class Watchdog:
    """Finds workers without a heartbeat for `seconds` (0: never). Workers that are still starting are not watched.

    Only time in which the supervisor runs counts. After a suspension of the machine, the workers have all the time that
    they had before.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds or math.inf
        self._checked_at = -math.inf
        self._silent: dict[int, float] = {}

    def hung(self, workers: Sequence[WatchedWorker], now: float) -> set[int]:
        """Return the pids of the workers that hang. Their stacks were dumped at an earlier check."""
        elapsed = min(now - self._checked_at, MAX_ELAPSED_SECONDS)
        self._checked_at = now
        before, self._silent = self._silent, {}
        hung = set()
        for worker in workers:
            if not worker.ready():
                continue
            previous = before.get(worker.pid, 0.0)
            silent = 0.0 if worker.heartbeat() or worker.pid not in before else previous + elapsed
            if silent >= self._seconds > previous:
                log.error("worker hangs; dumping its stacks", extra={"pid": worker.pid})
                worker.dump_stacks()
            elif silent >= self._seconds + DUMP_SECONDS:
                hung.add(worker.pid)
            self._silent[worker.pid] = silent
        return hung
