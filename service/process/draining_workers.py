"""Workers that drain beside those that serve, each killed if it does not end in time."""

import logging
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)


class DrainingWorker(Protocol):
    """Worker that was asked to end."""

    @property
    def pid(self) -> int: ...
    def exit_status(self) -> int | None: ...
    def kill(self) -> None: ...


Worker = TypeVar("Worker", bound=DrainingWorker)


class DrainingWorkers(Generic[Worker]):
    """Workers that drain, for at most `seconds` each. Times are seconds on a monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._workers: list[tuple[Worker, float]] = []

    def add(self, worker: Worker, now: float) -> None:
        """Add a worker that has begun to drain."""
        self._workers.append((worker, now + self._seconds))

    def check(self, now: float) -> None:
        """Forget workers that ended, and kill those whose time is over."""
        self._workers = [(worker, kill_at) for worker, kill_at in self._workers if worker.exit_status() is None]
        kill_all(worker for worker, kill_at in self._workers if now >= kill_at)

    def workers(self) -> list[Worker]:
        return [worker for worker, _ in self._workers]


def kill_all(workers: Iterable[DrainingWorker]) -> None:
    """Kill workers whose time to stop is over."""
    for worker in workers:
        log.warning("worker did not stop in time; killing it", extra={"pid": worker.pid})
        worker.kill()
