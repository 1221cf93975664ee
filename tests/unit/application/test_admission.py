"""Admission: what a worker admits, and what it sheds."""

import pytest

from service.application.admission import Admission
from service.domain.errors import Overloaded, ShuttingDown
from tests.fakes import ManualClock


def admitted(admission: Admission, count: int) -> None:
    for _ in range(count):
        admission.acquire()


def done(admission: Admission, clock: ManualClock, count: int, seconds: float = 0.01) -> None:
    for _ in range(count):
        clock.seconds += seconds
        admission.release()


def test_who_cannot_be_answered_in_time_is_refused_at_once() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 300)
    done(admission, clock, 100)
    with pytest.raises(Overloaded) as refusal:
        admission.acquire(1.0)
    assert "200 requests are under way, which take about 2.0 s" in refusal.value.message
    assert admission.under_way == 200
    admission.acquire(10.0)
    done(admission, clock, 156)
    admission.acquire(1.0)
    with pytest.raises(Overloaded):
        admission.acquire(0.5)


def test_who_goes_unanswered_says_nothing_of_how_fast_a_worker_is() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 300)
    done(admission, clock, 60)
    for _ in range(100):
        admission.release(answered=False)
    with pytest.raises(Overloaded) as refusal:
        admission.acquire(1.0)
    assert "140 requests are under way, which take about 1.4 s" in refusal.value.message


def test_a_worker_that_answers_nobody_in_time_admits_nobody() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 300)
    for _ in range(100):
        clock.seconds += 0.01
        admission.release(answered=False)
    with pytest.raises(Overloaded):
        admission.acquire(10.0)


def test_a_worker_with_little_to_do_refuses_nobody_for_its_slowness() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 4)
    done(admission, clock, 3, seconds=5)
    admitted(admission, 100)
    admission.acquire(0.001)


def test_admission_refuses_at_once_past_its_limit_and_when_closed() -> None:
    admission = Admission(1)
    admission.acquire()
    with pytest.raises(Overloaded) as refusal:
        admission.acquire()
    assert refusal.value.retry_after == 1
    admission.release()
    admission.close()
    with pytest.raises(ShuttingDown):
        admission.acquire()
    assert admission.under_way == 0


def test_a_draining_worker_opens_no_session_and_admits_everything_else() -> None:
    admission = Admission(2)
    admission.drain()
    with pytest.raises(ShuttingDown) as refusal:
        admission.acquire(opens_session=True)
    assert (refusal.value.applied, refusal.value.retry_after) == ("no", 1)
    admission.acquire()
    assert admission.under_way == 1
