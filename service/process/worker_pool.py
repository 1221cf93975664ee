"""Worker pool: starts the workers of a service, replaces those that die, and restarts all one by one on request."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.process.worker_process import EX_CONFIG

log = logging.getLogger(__name__)

#: A worker that dies sooner than this counts as a failure. Repeated failures delay its replacement by BACKOFF seconds.
HEALTHY_SECONDS = 10.0
BACKOFF = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)


class WorkerHandle(Protocol):
    """Handle of a worker process; `service/process/worker_process.py` has the real one."""

    @property
    def pid(self) -> int: ...
    def exit_status(self) -> int | None: ...
    def ready(self) -> bool: ...
    def draining(self) -> bool: ...
    def drain(self) -> None: ...
    def stop(self) -> None: ...
    def skip_drain(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class WorkerSlot:
    """Slot of the pool: its worker, and the time from which the next one may start."""

    worker: WorkerHandle | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0


class WorkerPool:
    """Pool that decides which workers start and stop. Times are seconds on a monotonic clock, passed as arguments.

    A rolling restart starts a new worker beside the old ones, waits until it is ready, and only then drains an old one.
    So there are never fewer ready workers than before, and never more than one too many.
    """

    def __init__(self, size: int, start: Callable[[], WorkerHandle]) -> None:
        self.misconfigured = False
        self._start = start
        self._slots = [WorkerSlot() for _ in range(size)]
        self._draining: list[WorkerHandle] = []
        self._replacement: WorkerSlot | None = None
        self._restart_before = -math.inf

    def supervise(self, now: float) -> None:
        """Replace workers that died or drain, and advance a rolling restart."""
        self._draining = [worker for worker in self._draining if worker.exit_status() is None]
        for slot in self._slots:
            self._refresh_slot(slot, now)
            if slot.worker is None and now >= slot.start_at:
                slot.worker, slot.started_at = self._start(), now
        if self._replacement is not None:
            self._check_replacement(self._replacement)
        elif not self._draining and self._restart_before > -math.inf:
            self._start_replacement(now)

    def rolling_restart(self, now: float) -> None:
        """Replace all workers that were started before `now`, one by one."""
        self._restart_before = now

    def workers(self) -> list[WorkerHandle]:
        """Return all live workers."""
        slots = [slot for slot in (*self._slots, self._replacement) if slot is not None]
        workers = [*self._draining, *(slot.worker for slot in slots if slot.worker is not None)]
        return [worker for worker in workers if worker.exit_status() is None]

    def _refresh_slot(self, slot: WorkerSlot, now: float) -> None:
        worker = slot.worker
        if worker is None:
            return
        status = worker.exit_status()
        if status is not None:
            slot.worker = None
            self._reap(slot, worker.pid, status, now)
        elif worker.draining():
            slot.worker = None
            self._draining.append(worker)

    def _reap(self, slot: WorkerSlot, pid: int, status: int, now: float) -> None:
        if status == EX_CONFIG:
            self.misconfigured = True
        if status in {0, EX_CONFIG}:
            return  # it was stopped, or would fail again
        slot.failures = 0 if now - slot.started_at >= HEALTHY_SECONDS else slot.failures + 1
        delay = BACKOFF[min(slot.failures, len(BACKOFF) - 1)] if slot.failures > 1 else 0.0
        slot.start_at = now + delay
        log.error("worker died", extra={"pid": pid, "status": status, "restart_in": delay})

    def _outdated(self) -> WorkerSlot | None:
        return next((slot for slot in self._slots if slot.started_at < self._restart_before), None)

    def _start_replacement(self, now: float) -> None:
        if self._outdated() is not None:
            self._replacement = WorkerSlot(self._start(), now)
        else:
            self._restart_before = -math.inf
            log.info("workers renewed")

    def _check_replacement(self, replacement: WorkerSlot) -> None:
        worker = replacement.worker
        if worker is None:
            return
        status = worker.exit_status()
        if status is not None:
            self._replacement, self._restart_before = None, -math.inf
            log.error("new worker failed to start; the old workers stay", extra={"pid": worker.pid, "status": status})
        elif worker.ready():
            self._replacement = None
            self._promote(replacement)

    def _promote(self, replacement: WorkerSlot) -> None:
        """Put a ready worker in an outdated one's slot. If none is left, because all died, drain the ready one."""
        slot = self._outdated() or replacement
        old, slot.worker = slot.worker, replacement.worker
        slot.started_at, slot.failures = replacement.started_at, 0
        if old is not None:
            old.drain()
            self._draining.append(old)
