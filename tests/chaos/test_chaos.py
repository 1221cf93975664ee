"""The suite itself: an honest build comes through a minute, and each broken one is caught within a minute."""

import asyncio

import pytest

from tests.chaos.broken import BROKEN
from tests.chaos.report import Report
from tests.chaos.run import RunOptions, run
from tests.chaos.schedule import CLIENT_KINDS, KINDS
from tests.drill.programs import require


def report_text(report: Report) -> str:
    return "\n".join(report.lines())


def test_a_minute_of_everything_breaks_no_promise() -> None:
    report = asyncio.run(run(RunOptions(seed=1, minutes=1)))
    assert not report.violations, report_text(report)
    # A machine that is short of breath does less, but not nothing.
    assert report.verified["steps"] >= 100, report_text(report)
    assert sum(report.faults[kind] > 0 for kind in KINDS) >= len(KINDS) // 2, report_text(report)
    assert all(report.faults[kind] > 0 for kind in CLIENT_KINDS), report_text(report)


@pytest.mark.slow
def test_a_minute_behind_the_proxy_breaks_no_promise() -> None:
    require("haproxy")
    report = asyncio.run(run(RunOptions(seed=2, minutes=1, proxy=True)))
    assert not report.violations, report_text(report)
    assert report.verified["steps"] >= 100, report_text(report)


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN)
def test_a_build_that_breaks_a_promise_is_caught_within_a_minute(broken: str) -> None:
    report = asyncio.run(run(RunOptions(seed=1, minutes=1, broken=broken, until_caught=True)))
    assert report.broken_promises, report_text(report)
