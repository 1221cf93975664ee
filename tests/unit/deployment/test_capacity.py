"""Workers, memory and servers that follow from measured costs."""

import math

import pytest

from service.deployment.capacity import GIB, Capacity, plan
from service.deployment.measurement import Measurement


def measured(**values: float) -> Measurement:
    costs = {
        "bytes_per_session": 1000.0,
        "worker_seconds_per_step": 0.0005,
        "store_seconds_per_step": 0.00002,
        "log_bytes_per_step": 700.0,
        **values,
    }
    return Measurement(steps=5000, **costs)  # type: ignore[arg-type]


def planned(sessions: int = 1_000_000, rate: float = 3000, memory: float = 64, **costs: float) -> Capacity:
    return plan("next-word 1", measured(**costs), sessions, rate, int(memory * GIB))


def test_workers_follow_from_the_rate_with_room_for_peaks() -> None:
    assert planned(rate=1200).workers == 1
    assert planned(rate=1201).workers == 2
    assert planned(rate=3000).workers == 3
    assert planned(rate=0).workers == 1


def test_one_server_holds_what_fits_into_its_machine_twice() -> None:
    small = planned()
    assert small.masters == 1
    assert small.maxmemory == pytest.approx(1e9 / 0.75, rel=1e-6)
    assert small.machine_memory == pytest.approx(1e9 / 0.75 / 0.45, rel=1e-6)


def test_sessions_beyond_one_machine_need_a_cluster_that_can_elect_masters() -> None:
    just_above = planned(memory=1e9 / 0.75 / 0.45 / GIB * 0.99)
    assert just_above.masters == 3
    large = planned(sessions=100_000_000)
    assert large.masters == math.ceil(1e11 / 0.75 / (0.45 * 64 * GIB))
    assert large.maxmemory * large.masters == pytest.approx(1e11 / 0.75, rel=1e-6)
    assert large.machine_memory <= 64 * GIB


def test_a_rate_that_one_server_cannot_write_needs_a_cluster() -> None:
    assert planned(rate=25_000).masters == 1
    assert planned(rate=25_001).masters == 3
    assert planned(rate=100_000).masters == 4


def test_the_report_names_every_figure() -> None:
    text = planned(sessions=100_000_000).render()
    assert "1,000 bytes of the store for a session" in text
    assert "500 us of a worker's processor for a step" in text
    assert "20 us of the store's processor for a step" in text
    assert "700 bytes of its append-only file for a step" in text
    assert "append-only file: 2.0 MiB/s" in text
    assert "for 100,000,000 live sessions and 3,000 steps/s" in text
    assert "3 workers" in text
    assert "a cluster of 5 masters" in text
