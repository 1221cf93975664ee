"""Clients that keep a journal, retry by the rules, and misbehave as clients do."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from service.types import Durability
from tests.chaos import automaton
from tests.chaos.driver import Driver, Shared
from tests.chaos.http1 import NOTHING
from tests.chaos.journal import Attempt, Event, Kind, Part, Request, Session

LEVELS: dict[Durability, float] = {"memory": 0.6, "fsynced": 0.2, "replicated": 0.2}
ENGLISH = ("I", "you", "he", "we", "like", "want", "have", "know", "think", "the", "a", "good", "house", "time", "not")
#: What a client does next, and how often.
ACTS: dict[str, float] = {
    "step": 0.62,
    "duplicate": 0.08,
    "again": 0.04,
    "group": 0.08,
    "late": 0.05,
    "abandon": 0.06,
    "look": 0.04,
    "get": 0.02,
    "delete": 0.01,
}


@dataclass(slots=True, eq=False)
class Client:
    """One client; its plan follows from the run's seed and its own number."""

    number: int
    seed: int
    model: str
    driver: Driver
    shared: Shared
    ttl: int = 3600
    session: Session | None = None
    step: int = 0
    _choose: random.Random = field(init=False)
    _acts: int = 0
    _serial: int = 0
    _naps: int = 0
    _stepped: list[Request] = field(default_factory=list)
    _must_mark: bool = False
    _leave_at: int = 0

    def __post_init__(self) -> None:
        self._turn()

    def _turn(self) -> None:
        """Decide by the seed, the client and the number of the act alone: no delay and no retry moves what follows."""
        self._acts += 1
        self._choose = random.Random(f"client {self.seed} {self.number} {self._acts}")

    async def run(self) -> None:
        """Work until the run ends."""
        while not self.shared.stopping():
            self._turn()
            if self.session is None or len(self.session.events) >= self._leave_at:
                await self._open()
                continue
            await self._nap()
            await self._act()

    async def finish(self) -> None:
        """Look where every session stands that ought to be there still."""
        for session in [one for one in self.shared.sessions if one.client == self.number and one.id]:
            if not session.over and not session.loose and session.ttl >= 60:
                self.session = session
                await self._get()

    async def _open(self) -> None:
        level = self._choose.choices(list(LEVELS), list(LEVELS.values()))[0]
        body = {"model": self.model, "durability": level, "ttl_seconds": self.ttl}
        part = Part(Request((), None, self._key()))
        await self.driver.send(part, "/v1/sessions", body)
        self.shared.operations["create"] += 1
        opened = part.reply.status == 201
        identity = part.reply.json["id"] if opened else ""
        session = Session(identity, self.model, level, self.ttl, part.sent, part.at, self.number)
        if not opened:
            session.events.append(Event("get", [part]))
        self.shared.sessions.append(session)
        self.session = session if opened else None
        self.step, self._stepped, self._must_mark = 0, [], False
        self._leave_at = self._choose.randint(20, 400)

    async def _nap(self) -> None:
        """Let the session expire, if it lives so short and the conductor says so."""
        if self._naps == self.shared.naps:
            return
        self._naps = self.shared.naps
        if self.ttl < 60:
            self.shared.faults["expiry during a pause"] += 1
            await asyncio.sleep(self.ttl + self._choose.uniform(0.1, 0.8))

    async def _act(self) -> None:
        act = "step" if self._must_mark else self._choose.choices(list(ACTS), list(ACTS.values()))[0]
        self.shared.operations[act] += 1
        await getattr(self, f"_{act}")()
        if self.session is not None and self.session.events:
            self._learn(self.session.events[-1])

    async def _step(self) -> None:
        part = Part(self._request())
        give_up = self._choose.random() < 0.3
        await self.driver.send(part, *self._to_step(part.request), given_up=lambda: give_up and part.refused)
        self._note("step", part)

    async def _duplicate(self) -> None:
        """The same request twice at the same moment, as a client that hedges does."""
        self.shared.faults["request duplicated"] += 1
        request = self._request()
        twins = [Part(request), Part(request)]
        await asyncio.gather(*(self.driver.send(twin, *self._to_step(request)) for twin in twins))
        self._note("twin", *twins)

    async def _again(self) -> None:
        """The last request again, as a client does that lost the answer."""
        if not self._stepped:
            return await self._step()
        part = Part(self._stepped[-1])
        await self.driver.send(part, *self._to_step(part.request))
        return self._note("late", part)

    async def _group(self) -> None:
        """Different requests at once: their order is the server's choice, and every one tells its place."""
        self.shared.faults["requests reordered"] += 1
        parts = [Part(Request(self._words(), None, self._key())) for _ in range(self._choose.randint(2, 3))]
        await asyncio.gather(*(self.driver.send(part, *self._to_step(part.request)) for part in parts))
        self._note("group", *parts)

    async def _late(self) -> None:
        """A request that was answered some steps ago, again."""
        if len(self._stepped) < 2:
            return await self._step()
        self.shared.faults["request late"] += 1
        part = Part(self._choose.choice(self._stepped[:-1]))
        await self.driver.send(part, *self._to_step(part.request))
        return self._note("late", part)

    async def _abandon(self) -> None:
        """Send a request and go away; what follows must carry a step, so that it learns what became of it."""
        self.shared.faults["request abandoned"] += 1
        part = Part(Request(self._words(), self.step, self._key()))
        path, body = self._to_step(part.request)
        sent = time.monotonic()
        share, seconds = self._choose.choice([0.5, 1.0, 1.0, 1.0]), self._choose.choice([0.0, 0.002, 0.02])
        await self.driver.http.abandon(path, body, part.request.key, share, seconds)
        part.attempts.append(Attempt(sent, time.monotonic(), NOTHING))
        self._note("abandoned", part)

    async def _look(self) -> None:
        await self._ask("look", "POST", "/predict", {"options": {"top_k": 1}})

    async def _get(self) -> None:
        await self._ask("get", "GET", "", None)

    async def _delete(self) -> None:
        await self._ask("delete", "DELETE", "", None)
        await self._ask("get", "GET", "", None)

    async def _ask(self, kind: Kind, method: str, suffix: str, body: object) -> None:
        assert self.session is not None
        part = Part(Request(()))
        await self.driver.send(part, f"/v1/sessions/{self.session.id}{suffix}", body, method=method)
        self._note(kind, part)

    def _request(self) -> Request:
        marks = self._choose.choice(["step", "both"] if self._must_mark else ["key", "step", "both"])
        step = None if marks == "key" else self.step
        return Request(self._words(), step, None if marks == "step" else self._key())

    def _words(self) -> tuple[str, ...]:
        words = automaton.WORDS if self.model != "next-word" else ENGLISH
        return tuple(self._choose.choices(words, k=self._choose.randint(1, 3)))

    def _key(self) -> str:
        self._serial += 1
        return f"{self.seed}-{self.number}-{self._serial}"

    def _to_step(self, request: Request) -> tuple[str, dict[str, Any]]:
        assert self.session is not None
        top_k = 3 if self.model == "next-word" else 1
        body: dict[str, Any] = {"input": {"text": " ".join(request.words)}, "options": {"top_k": top_k}}
        if request.step is not None:
            body["step"] = request.step
        return f"/v1/sessions/{self.session.id}/steps", body

    def _note(self, kind: Kind, *parts: Part) -> None:
        assert self.session is not None
        self.session.events.append(Event(kind, list(parts)))

    def _learn(self, event: Event) -> None:
        """Where the session stands now, as the service told; and whether it is over."""
        if event.kind == "abandoned":
            self._must_mark = True
            return
        replies = [part.reply for part in event.parts]
        if any(reply.status not in {0, 200, 409, 503} for reply in replies):
            self.session = None
            return
        told = [reply.told_step for reply in replies]
        self.step = max((step for step in told if step is not None), default=self.step)
        if replies[0].status in {200, 409}:
            # An answer for good also told what became of an abandoned request before it.
            self._must_mark = False
        first = event.parts[0].request
        if event.kind in {"step", "twin"} and replies[0].status == 200 and first.step is not None:
            self._stepped = [*self._stepped, first][-40:]
        self._loosen(event)

    def _loosen(self, event: Event) -> None:
        """Leave a session soon where a request without `step` got lost: its key is known for 32 steps only."""
        for part in event.parts:
            if part.loose and self.session is not None:
                self.session.loose = True
                self._leave_at = min(self._leave_at, len(self.session.events) + 7)
