"""Worker pool: starts the workers of a service, replaces those that die, and restarts all one by one on request."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.process.worker_process import EX_CONFIG

log = logging.getLogger(__name__)

#: A worker that lived shorter than this is not replaced at once, but after the seconds of BACKOFF.
HEALTHY_SECONDS = 10.0
BACKOFF = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)


class WorkerHandle(Protocol):
    """Handle of a worker process; `service/process/worker_process.py` has the real one."""

    @property
    def pid(self) -> int: ...
    def ended(self) -> int | None: ...
    def ready(self) -> bool: ...
    def draining(self) -> bool: ...
    def leave(self) -> None: ...
    def stop(self) -> None: ...
    def skip_drain(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class WorkerSlot:
    """Slot of the pool: its worker, and the time from which the next one may start."""

    member: WorkerHandle | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0


class WorkerPool:
    """Pool that decides which workers start and stop. Time is an argument.

    Renewing starts a new worker beside the old ones, waits until it is ready, and only then lets an old one leave. So
    there are never fewer ready workers than before, and never more than one too many.
    """

    def __init__(self, size: int, start: Callable[[], WorkerHandle]) -> None:
        self.misconfigured = False
        self._start = start
        self._places = [WorkerSlot() for _ in range(size)]
        self._leaving: list[WorkerHandle] = []
        self._successor: WorkerSlot | None = None
        self._renew_before = -math.inf

    def supervise(self, now: float) -> None:
        """Replace workers that died or drain, and advance a rolling restart."""
        self._leaving = [member for member in self._leaving if member.ended() is None]
        for place in self._places:
            self._refresh_slot(place, now)
            if place.member is None and now >= place.start_at:
                place.member, place.started_at = self._start(), now
        if self._successor is not None:
            self._look_at_successor(self._successor)
        elif not self._leaving and self._renew_before > -math.inf:
            self._renew_next(now)

    def rolling_restart(self, now: float) -> None:
        """Replace all workers that were started before `now`, one by one."""
        self._renew_before = now

    def members(self) -> list[WorkerHandle]:
        """Return all live workers."""
        placed = [place.member for place in [*self._places, self._successor] if place is not None]
        return [member for member in [*self._leaving, *placed] if member is not None and member.ended() is None]

    def _refresh_slot(self, place: WorkerSlot, now: float) -> None:
        member = place.member
        if member is None:
            return
        status = member.ended()
        if status is not None:
            place.member = None
            self._reap(place, member.pid, status, now)
        elif member.draining():
            place.member = None
            self._leaving.append(member)

    def _reap(self, place: WorkerSlot, pid: int, status: int, now: float) -> None:
        if status == EX_CONFIG:
            self.misconfigured = True
        if status in {0, EX_CONFIG}:
            return  # told to go, or pointless to start again
        place.failures = 0 if now - place.started_at >= HEALTHY_SECONDS else place.failures + 1
        delay = BACKOFF[min(place.failures, len(BACKOFF) - 1)] if place.failures > 1 else 0.0
        place.start_at = now + delay
        log.error("worker died", extra={"pid": pid, "status": status, "restart_in": delay})

    def _outdated(self) -> WorkerSlot | None:
        return next((place for place in self._places if place.started_at < self._renew_before), None)

    def _renew_next(self, now: float) -> None:
        if self._outdated() is not None:
            self._successor = WorkerSlot(self._start(), now)
        else:
            self._renew_before = -math.inf
            log.info("workers renewed")

    def _look_at_successor(self, successor: WorkerSlot) -> None:
        member = successor.member
        if member is None:
            return
        status = member.ended()
        if status is not None:
            self._successor, self._renew_before = None, -math.inf
            log.error("a new worker did not come up: the old ones stay", extra={"pid": member.pid, "status": status})
        elif member.ready():
            self._successor = None
            self._hand_over(successor)

    def _hand_over(self, successor: WorkerSlot) -> None:
        """Put a ready worker in an outdated one's slot. If none is left, because all died, the ready one leaves."""
        place = self._outdated() or successor
        old, place.member = place.member, successor.member
        place.started_at, place.failures = successor.started_at, 0
        if old is not None:
            old.leave()
            self._leaving.append(old)
