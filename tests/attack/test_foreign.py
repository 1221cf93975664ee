"""A hostile tenant beside two others: it reads nothing of theirs, changes nothing, and cannot tell what they have."""

import asyncio

import pytest

from tests.attack.foreign.run import RunOptions, run
from tests.drill.programs import require


def test_a_hostile_tenant_gets_nothing_of_two_others() -> None:
    report = asyncio.run(run(RunOptions(seed=1, attempts=400, proxy=False, pause=0.02, calm_seconds=0.0)))
    assert not report.problems, "\n".join(report.lines())
    assert report.findings.attempts.total() >= 400
    assert all(seen.verified > 0 for seen in report.seen)


@pytest.mark.slow
def test_a_hostile_tenant_gets_nothing_of_two_others_behind_the_proxy() -> None:
    require("haproxy")
    report = asyncio.run(run(RunOptions(seed=2)))
    assert not report.problems, "\n".join(report.lines())
    assert report.findings.attempts.total() >= 10_000
    assert all(seen.verified > 0 for seen in report.seen)
