"""A short run of malformed input of every kind."""

import asyncio

import pytest

from tests.attack.attackers.base import Tally
from tests.attack.malformed import KINDS, MalformedReport, run_malformed
from tests.attack.measure import MIB


def text(report: MalformedReport) -> str:
    return "\n".join(report.lines())


def test_malformed_input_of_every_kind_harms_nobody() -> None:
    report = asyncio.run(run_malformed(130, rounds=1))
    assert not report.failures(), text(report)
    assert report.cases.keys() == KINDS.keys()
    assert report.verified > 0


@pytest.mark.slow
def test_much_malformed_input_harms_nobody() -> None:
    report = asyncio.run(run_malformed(20_000))
    assert not report.failures(), text(report)


def test_a_report_tells_answers_of_500_what_attackers_know_and_growth() -> None:
    report = MalformedReport(1, memory=[400 * MIB, 430 * MIB], problems=["a worker was replaced"])
    tally = Tally()
    tally.labels.update({"200": 3, "500 internal_error": 2})
    tally.failures["a refusal 400 without an error in JSON"] += 1
    report.add("routes", 5, tally)
    assert report.failures() == [
        "a worker was replaced",
        "routes: 2 answers of 500",
        "routes: a refusal 400 without an error in JSON (1 times)",
        "a worker grew by 30 MB behind the first round",
    ]
    assert "failures: 4" in text(report)
