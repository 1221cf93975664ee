"""Malformed requests by a seed, sent as fast as they are answered."""

import asyncio
import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from tests.attack.attackers.base import FAILURES, Tally, Target, create_session
from tests.attack.attackers.contract import Contract, read_contract
from tests.attack.attackers.grammar import Grammar
from tests.attack.attackers.malformed_bodies import body_case
from tests.attack.attackers.malformed_heads import head_case
from tests.attack.wire import Response

#: Not that of tests/server.py, whose imports take seconds.
_DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"
#: Clients may have to wait for these; every other error of the server is one.
_EXPECTED_503 = {"overloaded", "deadline_exceeded", "durability_not_reached", "store_full", ""}
#: Readiness tells by 503 what is not ready, which is no error.
_READINESS = re.compile(rb"\S+ \S*/(ready|live)")


class Case(Protocol):
    """One malformed request as bytes; the same luck, the same bytes."""

    def __call__(self, choose: random.Random, grammar: Grammar, key: str) -> bytes: ...


@dataclass(frozen=True)
class Malformed:
    """Sends cases on connections that it keeps for as long as the service does."""

    name: str
    case: Case
    connections: int
    #: A head that is not complete has no answer, so the longest wait for one is short where heads are malformed.
    answer_seconds: float
    keep_connections: bool
    family: str = "malformed"

    async def run(self, target: Target, tally: Tally) -> None:
        session = await create_session(target, tally, kept_steps=2)
        sessions = [] if session is None else [session]
        numbers = itertools.islice(itertools.count(), target.count)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.connections):
                group.create_task(self._send(target, tally, numbers, sessions))

    async def _send(self, target: Target, tally: Tally, numbers: Iterator[int], sessions: list[str]) -> None:
        connection = target.connection()
        for number in numbers:
            if not tally.running():
                break
            choose = random.Random(f"{self.name} {target.seed} {number}")
            request = self.case(choose, Grammar(choose, sessions), target.key)
            tally.labels["requests"] += 1
            try:
                response = await connection.send(request, self.answer_seconds)
            except FAILURES as error:
                tally.fail(error)
                continue
            judge(tally.note(response, f"{self.name} {number}: {request[:250]!r}"), request, tally)
            if not self.keep_connections:
                connection.close()
            if response.status == HTTPStatus.GONE:  # a case has deleted it
                sessions[:] = [await create_session(target, tally, kept_steps=2) or "ses_none"]
        connection.close()


def judge(response: Response, request: bytes, tally: Tally) -> None:
    """Count a refusal that does not say why in the form of its protocol, and one that blames the service."""
    if response.status < 400 or request.startswith(b"HEAD ") or _READINESS.match(request):
        return
    if "error" not in response.json:
        tally.failures[f"a refusal {response.status} without an error in JSON"] += 1
        tally.examples.setdefault("no error", f"{request[:300]!r} -> {response.body[:300]!r}")
    if response.status > 503 or (response.status == 503 and response.code not in _EXPECTED_503):
        tally.failures[f"an answer {response.label}"] += 1
        tally.examples.setdefault(response.label, f"{request[:300]!r} -> {response.body[:300]!r}")


@cache
def _contract() -> Contract:
    return read_contract(_DOCUMENT.read_text("utf-8"))


def route_case(choose: random.Random, grammar: Grammar, key: str) -> bytes:
    """A request for an operation of the OpenAPI document, damaged in its body, its framing, its path or its headers."""
    return _contract().request(choose, key, grammar.sessions)


def malformed() -> list[Malformed]:
    """The three kinds of malformed requests."""
    return [
        Malformed("bodies", body_case, connections=6, answer_seconds=20.0, keep_connections=True),
        Malformed("routes", route_case, connections=6, answer_seconds=2.0, keep_connections=False),
        Malformed("heads", head_case, connections=48, answer_seconds=0.5, keep_connections=False),
    ]
