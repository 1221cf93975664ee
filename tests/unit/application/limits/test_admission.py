"""Admission: what a worker admits, and what it sheds."""

import contextlib

import pytest

from service.application.limits.admission import Admission, Permit
from service.domain.errors import Overloaded, RateLimited, ShuttingDown
from tests.fakes import ManualClock


def admitted(admission: Admission, count: int, client: str = "a") -> list[Permit]:
    return [admission.acquire(client) for _ in range(count)]


def done(permits: list[Permit], clock: ManualClock, count: int, seconds: float = 0.01) -> None:
    for _ in range(count):
        clock.seconds += seconds
        permits.pop().release()


def test_who_cannot_be_answered_in_time_is_refused_at_once() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    permits = admitted(admission, 300)
    done(permits, clock, 100)
    with pytest.raises(Overloaded) as refusal:
        admission.acquire("a", 1.0)
    assert "200 requests are under way, which take about 2.0 s" in refusal.value.message
    assert admission.under_way == 200
    permits.append(admission.acquire("a", 10.0))
    done(permits, clock, 156)
    admission.acquire("a", 1.0)
    with pytest.raises(Overloaded):
        admission.acquire("a", 0.5)


def test_who_goes_unanswered_says_nothing_of_how_fast_a_worker_is() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    permits = admitted(admission, 300)
    done(permits, clock, 60)
    for _ in range(100):
        permits.pop().release(answered=False)
    with pytest.raises(Overloaded) as refusal:
        admission.acquire("a", 1.0)
    assert "140 requests are under way, which take about 1.4 s" in refusal.value.message


def test_a_worker_that_answers_nobody_in_time_admits_nobody() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    permits = admitted(admission, 300)
    for _ in range(100):
        clock.seconds += 0.01
        permits.pop().release(answered=False)
    with pytest.raises(Overloaded):
        admission.acquire("a", 10.0)


def test_a_worker_with_little_to_do_refuses_nobody_for_its_slowness() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    done(admitted(admission, 4), clock, 3, seconds=5)
    admitted(admission, 100)
    admission.acquire("a", 0.001)


def test_admission_refuses_at_once_past_its_limit_and_when_closed() -> None:
    admission = Admission(1)
    permit = admission.acquire("a")
    with pytest.raises(Overloaded) as refusal:
        admission.acquire("a")
    assert refusal.value.retry_after == 1
    permit.release()
    admission.close()
    with pytest.raises(ShuttingDown):
        admission.acquire("a")
    assert admission.under_way == 0


def test_a_draining_worker_opens_no_session_and_admits_everything_else() -> None:
    admission = Admission(2)
    admission.drain()
    with pytest.raises(ShuttingDown) as refusal:
        admission.acquire("a", opens_session=True)
    assert (refusal.value.applied, refusal.value.retry_after) == ("no", 1)
    admission.acquire("a")
    assert admission.under_way == 1


def test_a_client_alone_gets_all_permits_but_a_reserve_for_others() -> None:
    admission = Admission(90)
    admitted(admission, 80)
    with pytest.raises(Overloaded, match="80 requests are under way"):
        admission.acquire("a")
    admission.acquire("b")
    with pytest.raises(RateLimited) as refusal:
        admission.acquire("a")
    assert "80 of your requests are under way" in refusal.value.message
    assert "UNROLL_MAX_REQUESTS" in refusal.value.message
    assert refusal.value.retry_after == 1


def test_two_clients_that_take_all_they_can_end_with_equal_shares() -> None:
    admission = Admission(170)
    held = {"a": admitted(admission, 151), "b": []}
    for _ in range(400):
        for client in ("b", "a"):
            with contextlib.suppress(RateLimited):
                held[client].append(admission.acquire(client))
        held["a"].pop().release()
    assert abs(len(held["a"]) - len(held["b"])) <= 2
    assert admission.under_way >= 158


def test_bodies_that_never_arrive_take_no_permit_from_requests_that_run() -> None:
    admission = Admission(9)
    arriving = [admission.acquire("a", has_body=True) for _ in range(8)]
    with pytest.raises(Overloaded, match="8 request bodies are arriving"):
        admission.acquire("a", has_body=True)
    assert admission.under_way == 0
    running = admission.acquire("b", has_body=True)
    running.run()
    assert admission.under_way == 1
    running.release()
    for permit in arriving:
        permit.release()
    assert (admission.under_way, admission.bodies.used) == (0, 0)


def test_a_complete_body_that_finds_no_permit_is_refused_and_leaves_nothing_behind() -> None:
    admission = Admission(1)
    arriving = admission.acquire("a", has_body=True)
    running = admission.acquire("b")
    with pytest.raises(Overloaded):
        arriving.run()
    arriving.release()
    running.release()
    assert (admission.under_way, admission.bodies.used) == (0, 0)


def test_a_client_waits_for_its_own_requests_and_as_many_of_each_other_client() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    done(admitted(admission, 300), clock, 100)
    admission.acquire("b", 0.05)
    admission.acquire("b", 0.05)
