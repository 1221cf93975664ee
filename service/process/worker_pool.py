"""Worker pool: starts the workers of a service, replaces those that die, and restarts all one by one on request."""

import logging
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from service.process.draining_workers import DrainingWorkers
from service.process.worker_process import EX_CONFIG

log = logging.getLogger(__name__)

#: A worker that dies sooner than this counts as a failure. Repeated failures delay its replacement by BACKOFF seconds.
HEALTHY_SECONDS = 10.0
BACKOFF = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)

#: Why a worker was replaced: it died, hung, drained after a signal of its own, used too much memory, or was restarted.
Reason: TypeAlias = Literal["died", "hung", "drained", "memory", "restart"]


class WorkerHandle(Protocol):
    """Handle of a worker process; `service/process/worker_process.py` has the real one."""

    @property
    def pid(self) -> int: ...
    def exit_status(self) -> int | None: ...
    def ready(self) -> bool: ...
    def draining(self) -> bool: ...
    def heartbeat(self) -> bool: ...
    def dump_stacks(self) -> None: ...
    def drain(self) -> None: ...
    def stop(self) -> None: ...
    def skip_drain(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class WorkerSlot:
    """Slot of the pool: its worker, and the time from which the next one may start.

    `reason` is why the next worker will be started in place of one that is gone, `renew` why a live one is replaced.
    """

    worker: WorkerHandle | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0
    reason: Reason | None = None
    renew: Reason | None = None


class WorkerPool:
    """Pool that decides which workers start and stop. Times are seconds on a monotonic clock, passed as arguments.

    A rolling restart starts a new worker beside the old ones, waits until it is ready, and only then drains an old one.
    So there are never fewer ready workers than before, and never more than one too many. A worker that drains longer
    than `drain_seconds` is killed. `on_replace` is called with the reason of each replacement.
    """

    def __init__(
        self,
        size: int,
        start: Callable[[], WorkerHandle],
        *,
        drain_seconds: float = math.inf,
        on_replace: Callable[[Reason], None] = lambda _: None,
    ) -> None:
        self.misconfigured = False
        self._start = start
        self._on_replace = on_replace
        self._slots = [WorkerSlot() for _ in range(size)]
        self._draining = DrainingWorkers[WorkerHandle](drain_seconds)
        self._replacement: WorkerSlot | None = None
        self._restart_before = -math.inf

    def supervise(self, now: float) -> None:
        """Replace workers that died or drain, and advance a rolling restart."""
        self._draining.check(now)
        for slot in self._slots:
            self._refresh_slot(slot, now)
            if slot.worker is None and now >= slot.start_at:
                self._fill(slot, now)
        if self._replacement is not None:
            self._check_replacement(self._replacement, now)
        elif not self._draining.workers():
            self._advance_restart(now)

    def rolling_restart(self, now: float) -> None:
        """Replace all workers that were started before `now`, one by one."""
        self._restart_before = now

    def renew(self, pid: int, reason: Reason) -> None:
        """Replace one worker as a rolling restart does, when its turn comes."""
        for slot in self._slots:
            if slot.worker is not None and slot.worker.pid == pid:
                slot.renew = reason

    def kill_hung(self, pids: Collection[int]) -> None:
        """Kill workers that hang; new ones are started in their place."""
        for slot in self._slots:
            if slot.worker is not None and slot.worker.pid in pids:
                slot.reason = "hung"
        for worker in self.workers():
            if worker.pid in pids:
                log.error("worker hung; killing it", extra={"pid": worker.pid})
                worker.kill()

    def serving(self) -> list[WorkerHandle]:
        """Return the workers that are ready and that nobody has asked to drain."""
        return [slot.worker for slot in self._slots if slot.worker is not None and slot.worker.ready()]

    def workers(self) -> list[WorkerHandle]:
        """Return all live workers."""
        slots = [slot for slot in (*self._slots, self._replacement) if slot is not None]
        workers = [*self._draining.workers(), *(slot.worker for slot in slots if slot.worker is not None)]
        return [worker for worker in workers if worker.exit_status() is None]

    def _refresh_slot(self, slot: WorkerSlot, now: float) -> None:
        worker = slot.worker
        if worker is None:
            return
        status = worker.exit_status()
        if status is not None:
            self._vacate(slot, "died")
            self._reap(slot, worker.pid, status, now)
        elif worker.draining():
            self._vacate(slot, "drained")
            self._draining.add(worker, now)

    def _vacate(self, slot: WorkerSlot, reason: Reason) -> None:
        slot.worker, slot.renew, slot.reason = None, None, slot.reason or reason

    def _reap(self, slot: WorkerSlot, pid: int, status: int, now: float) -> None:
        if status == EX_CONFIG:
            self.misconfigured = True
        if status in {0, EX_CONFIG}:
            return  # it was stopped, or would fail again
        delay = self._delay_start(slot, now)
        log.error("worker died", extra={"pid": pid, "status": status, "restart_in": delay})

    def _delay_start(self, slot: WorkerSlot, now: float) -> float:
        slot.failures = 0 if now - slot.started_at >= HEALTHY_SECONDS else slot.failures + 1
        delay = BACKOFF[min(slot.failures, len(BACKOFF) - 1)] if slot.failures > 1 else 0.0
        slot.start_at = now + delay
        return delay

    def _fill(self, slot: WorkerSlot, now: float) -> None:
        slot.started_at = now
        try:
            slot.worker = self._start()
        except OSError as error:  # no memory, processes or files are left
            delay = self._delay_start(slot, now)
            log.error("worker failed to start", extra={"reason": str(error), "restart_in": delay})
            return
        if slot.reason is not None:
            self._on_replace(slot.reason)
            slot.reason = None

    def _outdated(self) -> WorkerSlot | None:
        return next(
            (slot for slot in self._slots if slot.started_at < self._restart_before or slot.renew is not None), None
        )

    def _advance_restart(self, now: float) -> None:
        if self._outdated() is not None:
            try:
                self._replacement = WorkerSlot(self._start(), now)
            except OSError as error:
                self._end_restart({"reason": str(error)})
        elif self._restart_before > -math.inf:
            self._restart_before = -math.inf
            log.info("workers renewed")

    def _end_restart(self, extra: dict[str, object]) -> None:
        self._replacement, self._restart_before = None, -math.inf
        for slot in self._slots:
            slot.renew = None
        log.error("new worker failed to start; the old workers stay", extra=extra)

    def _check_replacement(self, replacement: WorkerSlot, now: float) -> None:
        worker = replacement.worker
        if worker is None:
            return
        status = worker.exit_status()
        if status is not None:
            self._end_restart({"pid": worker.pid, "status": status})
        elif worker.ready():
            self._replacement = None
            self._promote(replacement, now)

    def _promote(self, replacement: WorkerSlot, now: float) -> None:
        """Put a ready worker in an outdated one's slot. If none is left, because all died, drain the ready one."""
        slot = self._outdated()
        if slot is not None:
            self._on_replace(slot.reason or slot.renew or "restart")
        else:
            slot = replacement
        old, slot.worker = slot.worker, replacement.worker
        slot.started_at, slot.failures = replacement.started_at, 0
        slot.reason = slot.renew = None
        if old is not None:
            old.drain()
            self._draining.add(old, now)
