"""The suite itself: an honest build comes through a minute, and each broken one is caught within a minute."""

import asyncio

import pytest

from tests.chaos.broken import BROKEN
from tests.chaos.run import Wanted, run


@pytest.mark.slow
def test_a_minute_of_everything_breaks_no_promise() -> None:
    report = asyncio.run(run(Wanted(seed=1, minutes=1)))
    assert not report.violations, "\n".join(report.lines())


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN)
def test_a_build_that_breaks_a_promise_is_caught_within_a_minute(broken: str) -> None:
    report = asyncio.run(run(Wanted(seed=1, minutes=1, broken=broken)))
    assert report.broken_promises
