"""The plan of a run."""

from collections import Counter

from tests.chaos.faults import DOING
from tests.chaos.schedule import KINDS, QUIET_SECONDS, plan


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(7, 60) == plan(7, 60)
    assert plan(7, 60) != plan(8, 60)


def test_a_minute_has_every_kind_of_fault() -> None:
    assert {fault.kind for fault in plan(1, 60)} == set(KINDS)


def test_half_an_hour_has_every_kind_nearly_twice_as_often_as_it_must() -> None:
    for seed in range(5):
        assert min(Counter(fault.kind for fault in plan(seed, 1800)).values()) >= 18


def test_faults_come_in_order_and_leave_the_end_quiet() -> None:
    times = [fault.at for fault in plan(3, 600)]
    assert times == sorted(times)
    assert times[-1] <= 600 - QUIET_SECONDS


def test_every_kind_is_known_to_the_conductor() -> None:
    assert set(DOING) == set(KINDS)
