"""Sending by the rules: again after silence or 503, until there is an answer for good."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.http1 import Connections, Reply
from tests.chaos.journal import Attempt, Part, Session

#: A request that is not answered for good within this time is a violation of its own.
PATIENCE = 120.0


@dataclass(slots=True)
class Shared:
    """What all clients of a run share: counts, the moment to stop, and a number that grows with every call to nap."""

    until: float
    operations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    naps: int = 0
    sessions: list[Session] = field(default_factory=list)

    def stopping(self) -> bool:
        return time.monotonic() >= self.until


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
            sent, fresh = time.monotonic(), self.luck.random() < 0.3
            seconds = self.luck.uniform(2.5, 5.0)
            reply = await self.http.send(method, path, body, key=part.request.key, seconds=seconds, fresh=fresh)
            part.attempts.append(Attempt(sent, time.monotonic(), reply))
            if reply.status not in {0, 503} or given_up():
                return
            self.shared.operations["retry"] += 1
            await asyncio.sleep(self._pause(reply))

    def _pause(self, reply: Reply) -> float:
        """As long as the service asks for; after silence, a moment."""
        if reply.status == 503:
            return float(reply.headers.get("retry-after", "1"))
        return self.luck.uniform(0.05, 0.3)
