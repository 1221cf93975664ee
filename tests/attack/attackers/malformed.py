"""Malformed requests by a seed, sent as fast as they are answered."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tests.attack.attackers.base import FAILURES, Tally, Target, create_session
from tests.attack.attackers.grammar import Grammar
from tests.attack.attackers.malformed_bodies import body_case
from tests.attack.attackers.malformed_heads import head_case
from tests.attack.wire import read_response


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
        numbers = itertools.islice(itertools.count(), target.count)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.connections):
                group.create_task(self._send(target, tally, numbers, [] if session is None else [session]))

    async def _send(self, target: Target, tally: Tally, numbers: Iterator[int], sessions: list[str]) -> None:
        streams = None
        for number in numbers:
            if not tally.running():
                break
            choose = random.Random(f"{self.name} {target.seed} {number}")
            request = self.case(choose, Grammar(choose, sessions), target.key)
            tally.labels["requests"] += 1
            try:
                async with asyncio.timeout(self.answer_seconds):
                    streams = streams or await target.connect()
                    streams[1].write(request)
                    response = await read_response(streams[0], without_body=request.startswith(b"HEAD "))
                tally.note(response, repr(request))
                keeps_alive = response.keeps_alive and self.keep_connections
            except FAILURES as error:
                tally.fail(error)
                keeps_alive = False
            if streams is not None and not keeps_alive:
                streams[1].transport.abort()
                streams = None
        if streams is not None:
            streams[1].transport.abort()


def malformed() -> list[Malformed]:
    """The two kinds of malformed requests."""
    return [
        Malformed("bodies", body_case, connections=6, answer_seconds=20.0, keep_connections=True),
        Malformed("heads", head_case, connections=48, answer_seconds=0.5, keep_connections=False),
    ]
