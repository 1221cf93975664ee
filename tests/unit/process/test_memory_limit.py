"""A worker that has grown beyond its limit is renewed, and none for the size that its models need."""

import itertools
import os
from dataclasses import dataclass

from service.process.memory_limit import (
    MAX_PAUSE_SECONDS,
    MIN_PAUSE_SECONDS,
    MemoryLimit,
    default_limit,
    resident_bytes,
)

LIMIT = 1000


@dataclass(frozen=True)
class Worker:
    pid: int


class Workers:
    """Workers of given sizes, by pid."""

    def __init__(self, sizes: dict[int, int], limit: int = LIMIT) -> None:
        self.sizes = sizes
        self.limit = MemoryLimit(limit, lambda pid: self.sizes[pid])
        self.now = 0.0

    def exceeding(self, later: float = 1.0) -> int | None:
        self.now += later
        return self.limit.exceeding([Worker(pid) for pid in self.sizes], self.now)


def test_the_largest_worker_above_the_limit_is_renewed_and_the_next_one_after_a_pause() -> None:
    workers = Workers({1: 500, 2: 500, 3: 500})
    assert workers.exceeding() is None
    workers.sizes = {1: 1001, 2: 2000, 3: 1000}
    assert workers.exceeding() == 2
    workers.sizes = {1: 1001, 3: 1000, 4: 500}
    assert workers.exceeding() is None
    assert workers.exceeding(MIN_PAUSE_SECONDS) == 1


def test_the_memory_of_the_largest_worker_is_told_whether_it_may_be_renewed_or_not() -> None:
    workers = Workers({1: 700, 2: 1500})
    workers.exceeding()
    assert (workers.limit.largest, workers.limit.limit) == (1500, LIMIT)
    workers.sizes = {}
    workers.exceeding()
    assert workers.limit.largest == 0


def test_a_worker_that_was_as_large_when_it_became_ready_stays() -> None:
    workers = Workers({1: 5000})
    assert workers.exceeding() is None
    workers.sizes = {1: 6250}
    assert workers.exceeding() is None
    workers.sizes = {1: 6251}
    assert workers.exceeding() == 1


def test_renewals_that_do_not_help_become_rare() -> None:
    workers, times = Workers({0: 500}), []
    for _ in range(2 * 3600):
        pid = workers.exceeding()
        if pid is not None:
            times.append(workers.now)
            workers.sizes = {pid + 1: 500}
        else:
            workers.sizes = dict.fromkeys(workers.sizes, 2000)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_PAUSE_SECONDS


def test_zero_is_no_limit() -> None:
    workers = Workers({1: 1}, limit=0)
    workers.exceeding()
    workers.sizes = {1: 2**50}
    assert workers.exceeding() is None


def test_the_default_limits_of_all_workers_leave_room_for_one_more() -> None:
    assert 4 * default_limit(10_000, 4) == 8000


def test_the_memory_of_a_process_is_read_and_none_of_one_that_is_gone() -> None:
    assert 2**20 < resident_bytes(os.getpid()) < 2**40
    assert resident_bytes(2**30) == 0
