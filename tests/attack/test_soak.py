"""What a soak calls growth."""

from typing import Any

import pytest

from tests.attack.judge import Phase
from tests.attack.measure import MIB
from tests.attack.soak import Interval, growth


def intervals(**last: Any) -> list[Interval]:
    """An hour whose first five minutes grow, and whose last minutes show `last`."""
    flat = {"memory": 500 * MIB, "store_memory": 20 * MIB, "keys": 1000, "files": 40}
    settling = [Interval(60.0 * minute, Phase(60.0, []), minute * 100 * MIB, 0, 0, 0) for minute in range(1, 5)]
    settled = [Interval(60.0 * minute, Phase(60.0, []), **flat) for minute in range(5, 55)]
    return [
        *settling,
        *settled,
        *(Interval(60.0 * minute, Phase(60.0, []), **(flat | last)) for minute in range(55, 61)),
    ]


def test_what_grows_in_the_first_minutes_only_is_flat() -> None:
    assert list(growth(intervals())) == []


def test_tombstones_of_ended_sessions_are_no_growth() -> None:
    assert list(growth(intervals(store_memory=30 * MIB, keys=41_000))) == []


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        ({"memory": 600 * MIB}, "bytes of a worker grew by 104,857,600"),
        ({"store_memory": 60 * MIB}, "bytes of the store grew by 41,943,040 with 0 more keys"),
        ({"store_memory": 25 * MIB, "keys": 5000}, "bytes of the store grew by 5,242,880 with 4,000 more keys"),
        ({"files": 60}, "open files grew by 20"),
    ],
)
def test_what_grows_later_is_named(last: dict[str, int], problem: str) -> None:
    assert list(growth(intervals(**last))) == [problem]
