"""Which operations share the next timestep."""

from collections import Counter
from dataclasses import dataclass

import pytest

from service.domain.errors import Overloaded, RateLimited
from service.engine.batcher import Batcher


@dataclass
class Job:
    name: str
    group: str = "m"
    deadline: float | None = None
    gone: bool = False
    client: str = "a"
    next_cost: int = 1

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
    queue.release(queue.next(0).members)
    queue.submit(Job("d"))


def test_draining_gives_back_everything() -> None:
    queue = batcher(Job("a", "m"), Job("x", "n"))
    assert names(queue.clear()) == "ax"
    assert len(queue) == 0


def served(queue: Batcher[Job], passes: int) -> "Counter[str]":
    """Run passes whose operations never end, and return what each client was served."""
    costs: Counter[str] = Counter()
    for _ in range(passes):
        batch = queue.next(0)
        for job in batch.members:
            costs[job.client] += job.next_cost
        queue.requeue(batch.members)
    return costs


def flood(client: str, count: int, cost: int = 1, group: str = "m") -> list[Job]:
    return [Job(client, group, client=client, next_cost=cost) for _ in range(count)]


def test_clients_get_equal_shares_however_many_operations_they_queue() -> None:
    queue = batcher(*flood("a", 60), *flood("b", 2), *flood("c", 1), limit=2, capacity=100)
    costs = served(queue, 300)
    assert max(costs.values()) - min(costs.values()) <= 4


def test_shares_are_of_cost_and_not_of_operations() -> None:
    queue = batcher(*flood("a", 20, cost=16), *flood("b", 20, cost=1), limit=4, capacity=100)
    costs = served(queue, 400)
    assert abs(costs["a"] - costs["b"]) <= 32


def test_a_client_that_comes_joins_the_next_pass_whoever_waits() -> None:
    queue = batcher(*flood("a", 50), *flood("x", 20), limit=4, capacity=100)
    served(queue, 10)
    queue.submit(Job("b", client="b"))
    assert "b" in {job.client for job in queue.next(0).members}


def test_an_idle_client_gains_no_credit() -> None:
    queue = batcher(*flood("a", 20), *flood("x", 20), limit=2, capacity=100)
    served(queue, 500)
    for job in flood("b", 20):
        queue.submit(job)
    costs = served(queue, 30)
    assert abs(costs["a"] - costs["b"]) <= 2


def test_an_operation_as_large_as_a_pass_does_not_starve_beside_small_ones() -> None:
    queue = batcher(*flood("a", 1, cost=1000), *flood("b", 30), limit=4, capacity=100)
    costs = served(queue, 2000)
    assert costs["a"] >= 3000


def test_a_costly_operation_keeps_those_of_others_waiting_for_one_pass_only() -> None:
    queue = batcher(*flood("a", 5, cost=50), *flood("b", 1), limit=4, capacity=100)
    passes = [{job.client for job in queue.next(0).members} for _ in range(2)]
    assert {"b"} in passes


def test_a_client_with_many_operations_leaves_room_in_a_shared_pass_and_takes_all_of_its_own() -> None:
    queue = batcher(*flood("a", 60), limit=8, capacity=100)
    assert len(queue.next(0).members) == 8
    queue.submit(Job("b", client="b"))
    members = queue.next(0).members
    assert [job.client for job in members].count("a") == 4
    queue.release(members)
    assert len(queue.next(0.5).members) == 4
    assert len(queue.next(2).members) == 8


def test_clients_of_different_models_share_by_client_and_not_by_model() -> None:
    many = [job for group in "uvwxyz" for job in flood("a", 10, group=group)]
    queue = batcher(*many, *flood("b", 10, group="m"), limit=4, capacity=100)
    costs = served(queue, 300)
    assert abs(costs["a"] - costs["b"]) <= 8


def test_a_client_alone_is_served_first_in_first_out() -> None:
    queue = batcher(*(Job(name, client="a", next_cost=index) for index, name in enumerate("abcdef", 1)), limit=2)
    assert [names(queue.next(0).members) for _ in range(4)] == ["ab", "cd", "e", "f"]


def test_a_client_that_holds_its_share_of_places_is_refused_before_others() -> None:
    queue = batcher(*flood("a", 16), limit=4, capacity=18)
    queue.submit(Job("b", client="b"))
    with pytest.raises(RateLimited) as refusal:
        queue.submit(Job("a", client="a"))
    assert "UNROLL_MAX_QUEUE" in refusal.value.message
    queue.submit(Job("b", client="b"))


def test_places_are_held_until_an_operation_has_ended() -> None:
    queue = batcher(*flood("a", 3), capacity=3)
    members = queue.next(0).members
    assert (len(queue), queue.under_way) == (0, 3)
    queue.requeue(members)
    gone = queue.next(0).members
    queue.release(gone)
    assert queue.under_way == 0


def weighted(weights: dict[str, float], *jobs: Job, limit: int) -> Batcher[Job]:
    queue: Batcher[Job] = Batcher(limit, 10_000, lambda client: weights.get(client, 1.0))
    for job in jobs:
        queue.submit(job)
    return queue


@pytest.mark.parametrize(("limit", "cost", "count"), [(1, 1, 20), (8, 1, 100), (64, 1, 400), (8, 5, 60)])
def test_a_client_of_three_times_the_weight_gets_three_times_the_cost(limit: int, cost: int, count: int) -> None:
    jobs = [*flood("heavy", count, cost), *flood("light", count, cost), *flood("other", count, cost)]
    costs = served(weighted({"heavy": 3.0}, *jobs, limit=limit), 400)
    assert costs["heavy"] == pytest.approx(3 * costs["light"], rel=0.1)
    assert costs["other"] == pytest.approx(costs["light"], rel=0.1)


def test_weights_decide_among_models_too() -> None:
    queue = weighted({"heavy": 4.0}, *flood("heavy", 9, group="m"), *flood("light", 9, group="n"), limit=3)
    costs = served(queue, 400)
    assert costs["heavy"] == pytest.approx(4 * costs["light"], rel=0.1)


def test_a_client_of_little_weight_is_served_all_the_same() -> None:
    queue = weighted({"light": 0.01}, *flood("heavy", 100), *flood("light", 100, cost=3), limit=8)
    costs = served(queue, 2000)
    assert costs["light"] == pytest.approx(costs["heavy"] / 100, rel=0.2)


def test_weight_gains_nothing_for_the_time_that_a_client_was_idle() -> None:
    queue = weighted({"heavy": 3.0}, *flood("light", 20), limit=2)
    served(queue, 100)
    for job in flood("heavy", 20):
        queue.submit(job)
    costs = served(queue, 200)
    assert costs["heavy"] == pytest.approx(3 * costs["light"], rel=0.1)
