"""The pool starts, drains and replaces workers."""

import itertools
from dataclasses import dataclass, field

import pytest

from service.process.worker_pool import BACKOFF, HEALTHY_SECONDS, Reason, WorkerPool
from service.process.worker_process import EX_CONFIG

PIDS = itertools.count(1)


@dataclass
class FakeWorker:
    """Worker that does as the test says."""

    pid: int = field(default_factory=lambda: next(PIDS))
    status: int | None = None
    up: bool = False
    drained: bool = False
    leaves: bool = False

    def exit_status(self) -> int | None:
        return self.status

    def ready(self) -> bool:
        return self.up

    def draining(self) -> bool:
        return self.leaves

    def drain(self) -> None:
        self.drained = True

    def heartbeat(self) -> bool:
        return True

    def dump_stacks(self) -> None: ...
    def stop(self) -> None: ...
    def skip_drain(self) -> None: ...

    def kill(self) -> None:
        self.status = -9


DRAIN_SECONDS = 30.0


class Pool:
    """Pool of such workers, with all that were ever started, and the reasons of all replacements."""

    def __init__(self, size: int) -> None:
        self.started: list[FakeWorker] = []
        self.reasons: list[Reason] = []
        self.failing = False
        self.tested = WorkerPool(size, self._start, drain_seconds=DRAIN_SECONDS, on_replace=self.reasons.append)
        self.now = 100.0
        self.supervise()

    def _start(self) -> FakeWorker:
        if self.failing:
            raise BlockingIOError("no processes left")
        self.started.append(FakeWorker())
        return self.started[-1]

    def supervise(self, later: float = 1.0) -> None:
        self.now += later
        self.tested.supervise(self.now)

    def all_up(self) -> None:
        for worker in self.started:
            worker.up = True

    def serving(self) -> int:
        """Return how many workers accept connections."""
        return sum(worker.up and not worker.drained and worker.status is None for worker in self.started)


def test_dead_workers_are_replaced_at_once_and_after_growing_pauses_if_they_keep_dying() -> None:
    pool = Pool(1)
    pauses = []
    for _ in range(len(BACKOFF) + 1):
        begun, count = pool.now, len(pool.started)
        pool.started[-1].status = 1
        pool.supervise(0)
        while len(pool.started) == count:
            pool.supervise(0.5)
        pauses.append(pool.now - begun)
    assert pauses[0] <= 0.5
    assert pauses == sorted(pauses)
    assert pauses[-1] >= BACKOFF[-1]
    pool.supervise(HEALTHY_SECONDS)
    pool.started[-1].status = 1
    pool.supervise(0)
    assert pool.started[-1].status is None


def test_wrong_settings_end_the_service() -> None:
    pool = Pool(2)
    pool.started[0].status = EX_CONFIG
    pool.supervise()
    assert pool.tested.misconfigured


def test_a_worker_that_drains_by_itself_is_replaced_while_it_drains() -> None:
    pool = Pool(2)
    pool.all_up()
    pool.started[0].leaves = True
    pool.supervise()
    pool.supervise()
    assert len(pool.started) == 3
    assert len(pool.tested.workers()) == 3
    pool.started[0].status = 0
    pool.supervise()
    assert {worker.pid for worker in pool.tested.workers()} == {worker.pid for worker in pool.started[1:]}


def test_a_rolling_restart_replaces_all_one_by_one_and_never_leaves_fewer_that_serve() -> None:
    pool = Pool(3)
    pool.all_up()
    first = list(pool.started)
    pool.tested.rolling_restart(pool.now + 0.5)
    for number in range(3):
        pool.supervise()
        pool.supervise()
        assert len(pool.started) == 4 + number
        assert sum(worker.drained for worker in first) == number
        pool.started[-1].up = True
        pool.supervise()
        assert pool.serving() == 3
        assert sum(worker.drained for worker in first) == number + 1
        pool.supervise()
        assert len(pool.started) == 4 + number, "the next one starts when the last one has gone"
        next(worker for worker in first if worker.drained and worker.status is None).status = 0
    pool.supervise()
    pool.supervise()
    assert len(pool.started) == 6
    assert {worker.pid for worker in pool.tested.workers()} == {worker.pid for worker in pool.started[3:]}


def test_a_rolling_restart_ends_if_a_new_worker_fails_to_start_and_the_old_ones_stay() -> None:
    pool = Pool(2)
    pool.all_up()
    pool.tested.rolling_restart(pool.now + 0.5)
    pool.supervise()
    pool.started[-1].status = EX_CONFIG
    pool.supervise()
    pool.supervise()
    assert len(pool.started) == 3
    assert pool.serving() == 2
    assert not pool.tested.misconfigured


def test_a_second_rolling_restart_replaces_those_that_the_first_has_already_started() -> None:
    pool = Pool(1)
    pool.all_up()
    pool.tested.rolling_restart(pool.now + 0.5)
    pool.supervise()
    pool.tested.rolling_restart(pool.now + 0.5)
    while len(pool.started) < 3:
        pool.all_up()
        for worker in pool.started:
            worker.status = 0 if worker.drained else None
        pool.supervise()
    pool.all_up()
    pool.supervise()
    assert [worker.drained for worker in pool.started] == [True, True, False]


def test_a_replacement_that_is_not_needed_any_more_is_drained() -> None:
    pool = Pool(1)
    pool.all_up()
    pool.tested.rolling_restart(pool.now + 0.5)
    pool.supervise()
    old, replacement = pool.started
    old.status = 1
    pool.supervise()
    assert len(pool.started) == 3, "the dead one was replaced by a worker that is new"
    pool.all_up()
    pool.supervise()
    assert [worker.drained for worker in pool.started] == [False, True, False]
    assert replacement in pool.tested.workers()


def test_a_worker_that_drains_longer_than_its_time_is_killed() -> None:
    pool = Pool(1)
    pool.all_up()
    pool.started[0].leaves = True
    pool.supervise()
    pool.supervise(DRAIN_SECONDS - 1)
    assert pool.started[0].status is None
    pool.supervise(1)
    assert pool.started[0].status == -9
    pool.supervise()
    assert [worker.pid for worker in pool.tested.workers()] == [pool.started[1].pid]


def test_a_hung_worker_is_killed_and_replaced() -> None:
    pool = Pool(2)
    pool.all_up()
    pool.tested.kill_hung({pool.started[0].pid})
    pool.supervise()
    assert [worker.status for worker in pool.started] == [-9, None, None]
    assert pool.reasons == ["hung"]


@pytest.mark.parametrize("others_up", [True, False])
def test_one_worker_is_renewed_as_in_a_rolling_restart(others_up: bool) -> None:
    pool = Pool(2)
    pool.all_up()
    pool.started[1].up = others_up
    pool.tested.renew(pool.started[0].pid, "memory")
    pool.supervise()
    assert (len(pool.started), pool.started[0].drained) == (3, False)
    pool.started[2].up = True
    pool.supervise()
    assert [worker.drained for worker in pool.started] == [True, False, False]
    assert pool.reasons == ["memory"]
    pool.started[0].status = 0
    pool.supervise()
    pool.supervise()
    assert len(pool.started) == 3


def test_a_worker_that_dies_before_its_renewal_is_replaced_once() -> None:
    pool = Pool(1)
    pool.all_up()
    pool.tested.renew(pool.started[0].pid, "memory")
    pool.supervise()
    pool.started[0].status = -9
    pool.supervise()
    pool.all_up()
    pool.supervise()
    assert [worker.drained for worker in pool.started] == [False, True, False]
    assert pool.reasons == ["died"]


def test_a_worker_that_cannot_be_started_is_tried_again_after_growing_pauses() -> None:
    pool = Pool(1)
    pool.all_up()
    pool.started[0].status, pool.failing = -9, True
    pool.supervise()
    pool.supervise(sum(BACKOFF))
    assert pool.tested.workers() == []
    pool.failing = False
    pool.supervise(BACKOFF[-1])
    assert len(pool.tested.workers()) == 1
    assert pool.reasons == ["died"]


def test_a_rolling_restart_ends_if_no_worker_can_be_started() -> None:
    pool = Pool(1)
    pool.all_up()
    pool.failing = True
    pool.tested.rolling_restart(pool.now + 0.5)
    pool.supervise()
    pool.failing = False
    pool.supervise()
    assert (len(pool.started), pool.serving()) == (1, 1)


def test_the_reasons_of_replacements_are_counted() -> None:
    pool = Pool(3)
    pool.all_up()
    pool.started[0].leaves = True
    pool.started[1].status = 1
    pool.supervise()
    pool.all_up()
    pool.tested.rolling_restart(pool.now + 0.5)
    pool.started[0].status = 0
    for _ in range(20):
        pool.all_up()
        pool.supervise()
        for worker in pool.started:
            worker.status = 0 if worker.drained else worker.status
    assert sorted(pool.reasons) == ["died", "drained", "restart", "restart", "restart"]
