"""The judge: which figures break which bound."""

from collections import Counter
from typing import Any

import pytest

from tests.attack.attackers.base import Tally
from tests.attack.evidence import Sample
from tests.attack.judge import Phase, Row
from tests.attack.measure import MIB, Figures, complaints


def phase(latency: float, count: int = 100, answered: bool = True) -> Phase:
    return Phase(1.0, [Sample(0.0, latency, answered)] * count)


def row(family: str = "load", **changes: Any) -> Row:
    figures = {"before": Figures(memory=400 * MIB, pids={1}), "during": Figures(memory=410 * MIB, pids={1})}
    return Row("attack", family, **({"calm": phase(0.01), "attacked": phase(0.02)} | figures | changes))


def test_a_row_within_all_bounds_has_neither_failures_nor_missed_figures() -> None:
    assert row().failures() == []
    assert row().missed() == []


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"tally": Tally(Counter({"500 internal_error": 2, "200": 1}))}, "2 answers of 500"),
        ({"tally": Tally(failures=Counter({"let in by a wrong key": 1}))}, "let in by a wrong key (1 times)"),
        ({"violations": ["ses_x: step 1 was answered as step 3"]}, "1 broken promises"),
        ({"complaints": ["Traceback (most recent call last):"]}, "1 tracebacks"),
        ({"during": Figures(memory=1000 * MIB, pids={1})}, "memory +600 MB"),
        ({"during": Figures(memory=400 * MIB, pids={1, 2})}, "1 workers replaced"),
        ({"during": Figures(memory=400 * MIB, pids={1}, killed=True)}, "killed by the suite for its memory"),
        ({"recovery": None}, "no recovery"),
    ],
)
def test_what_breaks_a_bound_of_correctness_is_named(changes: dict[str, Any], failure: str) -> None:
    assert row(**changes).failures() == [failure]


@pytest.mark.parametrize(
    ("attacked", "missed"),
    [
        (phase(0.05), ["p50 5.0 x"]),
        (Phase(1.0, [*phase(0.01).samples, Sample(0.0, 0.4, answered=True)]), ["worst 400 ms"]),
        (phase(0.01, count=30), ["goodput 30%"]),
        (phase(0.01, answered=False), ["goodput 0%"]),
        (Phase(2.0, []), ["p50 200.0 x", "worst 2000 ms", "goodput 0%"]),
    ],
)
def test_a_figure_that_is_not_reached_is_named(attacked: Phase, missed: list[str]) -> None:
    assert row(attacked=attacked).missed() == missed


def test_attacks_on_sockets_are_held_to_a_smaller_growth_of_memory() -> None:
    grown = Figures(memory=520 * MIB, pids={1})
    assert row("load", during=grown).failures() == []
    assert row("sockets", during=grown).failures() == ["memory +120 MB"]


def test_a_worker_that_hangs_may_be_replaced() -> None:
    assert row("hang", during=Figures(memory=400 * MIB, pids={1, 2})).failures() == []


def test_only_unhandled_errors_of_a_log_are_complaints() -> None:
    log = '{"event": "request", "level": "warning"}\nTraceback (most recent call last):\n{"exception": "x"}\n'
    assert list(complaints(log)) == ["Traceback (most recent call last):", '{"exception": "x"}']
