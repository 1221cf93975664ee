"""A hostile tenant beside two others: it reads nothing of theirs, changes nothing, and cannot tell what they have."""

import asyncio
import json

import pytest

from tests.attack.foreign.run import RunOptions, run
from tests.attack.foreign.template import SUBJECT, Template, Told, told_by
from tests.attack.wire import Response
from tests.drill.programs import require


def told(status: int, code: str = "", **about: object) -> Told:
    """What an answer about the session `id-1` tells."""
    body = about | ({"error": {"code": code, "message": "no session 'id-1'"}} if code else {})
    return told_by(Response(status, {"x-request-id": "a"}, json.dumps(body).encode()), "id-1", 0.0)


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        (told(404, "session_not_found"), True),
        (told(200, results=[{"error": {"code": "session_not_found"}}]), True),
        (told(200, step=3), False),
        (told(200, results=[{"step": 3}]), False),
        (told(410, "session_ended"), False),
        (told(204), False),
    ],
)
def test_only_the_refusal_of_what_is_not_there_is_right(answer: Told, refuses: bool) -> None:
    assert Template("read", "GET", "/v1/sessions/SUBJECT").refuses(answer) == refuses


def test_answers_are_compared_but_for_the_id_and_the_time() -> None:
    template, answer = Template("read", "GET", "/v1/sessions/SUBJECT"), told(404, "session_not_found")
    body = answer.rest.replace(SUBJECT, "id-2").partition("] ")[2].encode()
    assert template.same(answer, told_by(Response(404, {"x-request-id": "b"}, body), "id-2", 1.0))
    assert not template.same(answer, told_by(Response(404, {"x-request-id": "b"}, body + b" "), "id-2", 1.0))
    assert not template.same(answer, told_by(Response(404, {"server": "x"}, body), "id-2", 1.0))
    assert not template.same(answer, told_by(Response(410, {}, body), "id-2", 1.0))


@pytest.mark.slow
def test_a_hostile_tenant_gets_nothing_of_two_others() -> None:
    report = asyncio.run(run(RunOptions(seed=1, attempts=120, proxy=False, pause=0.02, calm_seconds=0.0)))
    assert not report.problems, "\n".join(report.lines())
    assert report.findings.attempts.total() >= 120
    assert all(seen.verified > 0 for seen in report.seen)


@pytest.mark.slow
def test_a_hostile_tenant_gets_nothing_of_two_others_behind_the_proxy() -> None:
    require("haproxy")
    report = asyncio.run(run(RunOptions(seed=2)))
    assert not report.problems, "\n".join(report.lines())
    assert report.findings.attempts.total() >= 10_000
    assert all(seen.verified > 0 for seen in report.seen)
