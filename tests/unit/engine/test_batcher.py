"""Which operations share the next timestep."""

from dataclasses import dataclass

import pytest

from service.domain.errors import Overloaded
from service.engine.batcher import Batcher


@dataclass
class Job:
    name: str
    group: str = "m"
    deadline: float | None = None
    gone: bool = False

    def abandoned(self) -> bool:
        return self.gone


def names(jobs: list[Job]) -> str:
    return "".join(job.name for job in jobs)


def batcher(*jobs: Job, limit: int = 3, capacity: int = 10) -> Batcher[Job]:
    made: Batcher[Job] = Batcher(limit, capacity)
    for job in jobs:
        made.submit(job)
    return made


def test_a_batch_takes_what_waits_longest_up_to_the_limit() -> None:
    queue = batcher(*map(Job, "abcde"))
    assert names(queue.next(0).members) == "abc"
    assert names(queue.next(0).members) == "de"
    assert names(queue.next(0).members) == ""


def test_operations_leave_and_join_between_timesteps() -> None:
    queue = batcher(*map(Job, "abc"))
    first = queue.next(0).members
    queue.submit(Job("d"))
    queue.requeue([first[0], first[2]])
    assert names(queue.next(0).members) == "dac"


def test_long_operations_do_not_keep_short_ones_waiting() -> None:
    long = [Job(name) for name in "abc"]
    queue = batcher(*long)
    queue.requeue(queue.next(0).members)
    queue.submit(Job("s"))
    queue.requeue(queue.next(0).members)
    assert "s" in names(queue.next(0).members)


def test_models_take_turns() -> None:
    queue = batcher(Job("a", "m"), Job("b", "m"), Job("x", "n"), limit=1)
    taken = [names(queue.next(0).members) for _ in range(3)]
    assert taken == ["a", "x", "b"]


def test_abandoned_operations_are_dropped_and_late_ones_given_back() -> None:
    queue = batcher(Job("a", gone=True), Job("b", deadline=5), Job("c", deadline=6), Job("d"))
    batch = queue.next(5)
    assert (names(batch.members), names(batch.expired)) == ("cd", "b")
    assert len(queue) == 0


def test_past_its_capacity_it_refuses_at_once() -> None:
    queue = batcher(*map(Job, "abc"), capacity=3)
    with pytest.raises(Overloaded):
        queue.submit(Job("d"))
    queue.next(0)
    queue.submit(Job("d"))


def test_draining_gives_back_everything() -> None:
    queue = batcher(Job("a", "m"), Job("x", "n"))
    assert names(queue.clear()) == "ax"
    assert len(queue) == 0
