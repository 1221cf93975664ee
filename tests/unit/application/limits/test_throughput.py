"""How fast a worker is: learnt while it is busy, kept while it is not, doubted where that leaves it idle."""

import pytest

from service.application.limits.throughput import MIN_BUSY_REQUESTS, SMOOTHING, WINDOW_SECONDS, ThroughputEstimator


def busy(pace: ThroughputEstimator, now: float, seconds: float, count: int, *, answered: bool = True) -> float:
    """End `count` requests evenly over so many seconds, a hundred left each time; returns the time."""
    for at in range(count + 1):
        pace.ended(100, now + seconds * at / count, answered=answered)
    return now + seconds


def test_nothing_is_known_before_the_first_window_is_over() -> None:
    pace = ThroughputEstimator()
    busy(pace, 0.0, WINDOW_SECONDS * 0.9, 50)
    assert pace.wait(1000) == 0


def test_the_wait_is_that_of_the_requests_before_at_the_pace_of_the_last_windows() -> None:
    pace = ThroughputEstimator()
    now = busy(pace, 0.0, WINDOW_SECONDS, 100)
    assert pace.wait(200) == pytest.approx(2 * WINDOW_SECONDS)
    busy(pace, now, WINDOW_SECONDS, 25)
    assert pace.wait(100) == pytest.approx(WINDOW_SECONDS * (SMOOTHING + 4 * (1 - SMOOTHING)), rel=0.05)


def test_what_nobody_was_answered_says_counts_as_slow() -> None:
    pace = ThroughputEstimator()
    busy(pace, 0.0, WINDOW_SECONDS, 100, answered=False)
    assert pace.wait(1) == pytest.approx(WINDOW_SECONDS)


def test_idle_time_is_no_sign_of_slowness_and_the_pace_is_kept_over_it() -> None:
    pace = ThroughputEstimator()
    now = busy(pace, 0.0, WINDOW_SECONDS, 100)
    for _ in range(50):
        now += 10
        pace.ended(MIN_BUSY_REQUESTS - 1, now, answered=True)
    assert pace.wait(100) == pytest.approx(WINDOW_SECONDS)


def test_a_worker_that_refuses_everybody_soon_believes_in_itself_again() -> None:
    pace = ThroughputEstimator()
    now = busy(pace, 0.0, 60.0, 100)
    before = pace.wait(1)
    for _ in range(3):
        pace.refused()
        pace.ended(1, now, answered=True)
    assert pace.wait(1) == pytest.approx(before / 8)
