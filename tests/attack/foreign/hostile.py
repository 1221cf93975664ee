"""The hostile tenant: makes its attempts, and counts what it read, what it could tell, and how long answers took."""

import asyncio
import contextlib
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
from websockets.exceptions import WebSocketException

from tests.attack.foreign.frames_and_calls import Pair, call, frames
from tests.attack.foreign.hidden import smuggle
from tests.attack.foreign.kinds import choose_attempt
from tests.attack.foreign.known import HOSTILE, Known
from tests.attack.foreign.template import Attempt, Template, Told, told_by
from tests.attack.foreign.tenants import RESTRICTED, key_of
from tests.attack.wire import Connection, Response

#: Attempts under way at a time.
LANES = 4
#: The shares of the attempts that are no plain requests.
_FRAMES, _CALLS, _SMUGGLED = 0.02, 0.06, 0.02
_TRIES, _PAUSE = 20, 0.2
_IDS = re.compile(r"ses_[a-z2-7]{40}")
#: Answers whose time is compared: of requests that only read.
_TIMED = {"read", "predict", "export"}
_MOST_EXAMPLES = 20


@dataclass(slots=True)
class Findings:
    """What the attempts came to."""

    attempts: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    reads: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    times: list[tuple[float, float]] = field(default_factory=list)

    def medians(self) -> tuple[float, float]:
        """The median seconds of answers about sessions of others, and about those that do not exist."""
        first, second = zip(*self.times, strict=True)
        return statistics.median(first), statistics.median(second)

    def slower(self) -> float:
        """The share of pairs in which the session of another tenant was answered later: one half tells nothing."""
        return sum(first > second for first, second in self.times) / len(self.times)


@dataclass(slots=True, eq=False)
class Hostile:
    """A client with a key of its own, for one model, who makes `wanted` attempts that follow from a seed."""

    known: Known
    port: int
    grpc_port: int
    seed: int
    wanted: int
    findings: Findings = field(default_factory=Findings)

    @property
    def key(self) -> str:
        return key_of(HOSTILE)

    async def run(self) -> None:
        """Make all attempts."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel, asyncio.TaskGroup() as group:
            for lane in range(LANES):
                group.create_task(self._lane(lane, channel))

    async def _lane(self, lane: int, channel: grpc.aio.Channel) -> None:
        choose, connection = random.Random(f"foreign {self.seed} {lane}"), Connection(self.port)
        try:
            while self.findings.attempts.total() < self.wanted:
                pick = choose.random()
                if pick < _FRAMES:
                    await self._frames(choose)
                elif pick < _FRAMES + _CALLS:
                    self._judge(await call(choose, self.known, channel, self.key))
                elif pick < _FRAMES + _CALLS + _SMUGGLED:
                    await self._smuggle(choose)
                else:
                    await self._attempt(choose, connection, choose_attempt(choose, self.known))
        finally:
            connection.close()

    async def _attempt(self, choose: random.Random, connection: Connection, attempt: Attempt) -> None:
        """Ask about both things, in an order by chance, and compare the answers."""
        told, template = dict[str, Told](), attempt.template
        for subject in choose.sample([attempt.subject, attempt.absent], 2):
            told[subject] = await self._ask(connection, template, subject)
        own, other = told[attempt.subject], told[attempt.absent]
        request = template.packed(attempt.subject, self.key).decode("latin-1")
        self._count(template.kind, own, request)
        if not template.refuses(own):
            self._note(self.findings.reads, f"{template.kind}: {request[:400]!r} was answered {own}")
        if not template.same(own, other):
            self._note(self.findings.differences, f"{template.kind}: {request[:400]!r}: {own} is not {other}")
        if template.kind in _TIMED:
            self.findings.times.append((own.seconds, other.seconds))

    async def _ask(self, connection: Connection, template: Template, subject: str) -> Told:
        """Return what is told about a thing; ask again while the service is busy."""
        for _ in range(_TRIES):
            started = time.monotonic()
            try:
                response = await connection.send(template.packed(subject, self.key))
            except (OSError, EOFError, ValueError) as error:
                return Told("none", type(error).__name__, "")
            told = told_by(response, subject, time.monotonic() - started)
            if not _busy(template, response):
                break
            await asyncio.sleep(_PAUSE)
        return told

    async def _frames(self, choose: random.Random) -> None:
        try:
            pairs = await frames(choose, self.known, self.port, self.key)
        except (OSError, WebSocketException) as error:
            self._note(self.findings.failures, f"a WebSocket for many sessions: {error!r}")
            return
        for pair in pairs:
            self._judge(pair)

    def _judge(self, pair: Pair) -> None:
        self._count(pair.kind, pair.told, pair.request)
        if not pair.told.refused:
            self._note(self.findings.reads, f"{pair.kind}: {pair.request} was answered {pair.told}")
        if pair.told != pair.other:
            self._note(self.findings.differences, f"{pair.kind}: {pair.request}: {pair.told} is not {pair.other}")

    async def _smuggle(self, choose: random.Random) -> None:
        with contextlib.suppress(OSError):
            sent, answered = await smuggle(choose, self.known, self.port, self.key)
            first = answered.partition("\r\n")[0].split(" ")[1:2]
            self._count("hidden request", Told("".join(first) or "none", "", answered), sent)

    def _count(self, kind: str, told: Told, request: str) -> None:
        """Count an attempt and its answer, and look in it for what is others'."""
        self.findings.attempts[kind] += 1
        self.findings.answers[told.label] += 1
        for what in self._foreign(told.rest):
            if what not in request:
                self._note(self.findings.reads, f"{kind}: {request[:400]!r}: the answer has {what}: {told}")
        if told.status == "500":
            self._note(self.findings.failures, f"{kind}: {request[:400]!r} was answered {told}")

    def _foreign(self, text: str) -> Iterator[str]:
        """Return the ids, names and keys of others that a text has."""
        ids = set(_IDS.findall(text))
        for tenant in self.known.tenants:
            yield from ids & tenant.all_sessions if ids else ()
            yield from (word for word in (tenant.name, tenant.key, RESTRICTED) if word in text)

    def _note(self, found: list[str], line: str) -> None:
        found.append(line[:1200] if len(found) < _MOST_EXAMPLES else line[:100])


def _busy(template: Template, response: Response) -> bool:
    """Whether an answer is about the service, and not about what was asked. Wrong keys are limited, which is right."""
    return response.status in {429, 503} and not template.anonymous and not template.path.endswith("/ready")
