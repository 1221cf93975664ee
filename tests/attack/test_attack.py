"""The suite itself, on a machine that may be slow: it holds everything but timing."""

import asyncio

import pytest

from tests.attack.attackers.catalog import ATTACKERS, QUICK
from tests.attack.report import Report
from tests.attack.run import RunOptions, run


def failures(report: Report) -> list[str]:
    return [f"{row.name}: {'; '.join(row.failures())}" for row in report.rows if row.failures()]


def text(report: Report) -> str:
    return "\n".join(report.lines())


def test_attacks_break_no_promise_to_another_client() -> None:
    report = asyncio.run(run(RunOptions(QUICK, seconds=0.7, scale=0.1)))
    assert not failures(report), text(report)
    assert report.verified > 0


@pytest.mark.slow
def test_all_attacks_break_no_promise_to_another_client() -> None:
    report = asyncio.run(run(RunOptions(tuple(ATTACKERS), seconds=3.0)))
    assert not failures(report), text(report)
