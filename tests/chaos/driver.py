"""Sending by the rules: again after silence or 503, until there is an answer for good."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.http1 import Connections, Reply
from tests.chaos.journal import Attempt, Part, Session

#: A request that is not answered for good within this time is a violation of its own.
PATIENCE = 120.0


@dataclass(slots=True)
class Shared:
    """What all clients of a run share: counts, what they wrote down, and the moment to stop, or what makes them."""

    until: float
    operations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sessions: list[Session] = field(default_factory=list)
    #: What clients of packages found wrong by themselves, and how many answers they compared.
    wrong: list[str] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    caught: asyncio.Event = field(default_factory=asyncio.Event)

    def stopping(self) -> bool:
        return self.caught.is_set() or time.monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class Item:
    """One step among many in a request: where its attempts are written down, and its share of the body."""

    part: Part
    body: dict[str, Any]


@dataclass(slots=True, eq=False)
class Driver:
    """One client's way of sending; `seed` decides its patience and its pauses, and nothing of what it sends."""

    http: Connections
    shared: Shared
    seed: str
    luck: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.luck = random.Random(f"luck {self.seed}")

    async def send(
        self,
        part: Part,
        path: str,
        body: object,
        *,
        method: str = "POST",
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Send until there is an answer for good: neither silence nor 503 is one."""
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE:
            sent = time.monotonic()
            reply = await self._send(method, path, body, part.request.key)
            part.attempts.append(Attempt(sent, time.monotonic(), reply))
            if part.settled or given_up():
                return
            await self._pause(reply)

    async def send_many(self, items: Sequence[Item], given_up: Callable[[Part], bool] = lambda _: False) -> None:
        """Send steps of many sessions in one request, and again those that have no answer for good."""
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE:
            sent = time.monotonic()
            reply = await self._send("POST", "/v1/sessions/steps", {"steps": [item.body for item in items]}, None)
            at = time.monotonic()
            for item, own in zip(items, reply.items(len(items)), strict=True):
                item.part.attempts.append(Attempt(sent, at, own))
            items = [item for item in items if not item.part.settled and not given_up(item.part)]
            if not items:
                return
            await self._pause(items[0].part.reply)

    async def _send(self, method: str, path: str, body: object, key: str | None) -> Reply:
        fresh, seconds = self.luck.random() < 0.3, self.luck.uniform(2.5, 5.0)
        reply = await self.http.send(method, path, body, key=key, seconds=seconds, fresh=fresh)
        self.shared.operations["answers streamed"] += reply.streamed
        return reply

    async def _pause(self, reply: Reply) -> None:
        """As long as the service asks for; after silence, a moment."""
        self.shared.operations["sent again by the rules"] += 1
        await asyncio.sleep(reply.retry_after if reply.status == 503 else self.luck.uniform(0.05, 0.3))
