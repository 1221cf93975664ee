"""Clients that keep a journal, retry by the rules, and misbehave as clients do."""

import asyncio
import random
from dataclasses import dataclass, field

from tests.chaos.acts import ACTS
from tests.chaos.beginnings import fork, open_sessions
from tests.chaos.driver import Driver, Shared
from tests.chaos.fleet import step_all
from tests.chaos.journal import Event, Part, Request
from tests.chaos.roster import SHORT_LIVED, Role
from tests.chaos.stream import Stream

#: What a client does next with a session, and how often.
_ACTS = {**ACTS, "fork": (0.02, fork)}


@dataclass(slots=True, eq=False)
class Client:
    """One client; its plan follows from the run's seed and its own number."""

    number: int
    seed: int
    role: Role
    driver: Driver
    shared: Shared
    choose: random.Random = field(init=False)
    streams: list[Stream | None] = field(init=False)
    _turns: int = 0
    _serial: int = 0

    def __post_init__(self) -> None:
        self.streams = [None] * self.role.fleet
        self.turn()

    def turn(self) -> None:
        """Decide by the seed, the client and the number of the turn alone: no delay and no retry moves what follows."""
        self._turns += 1
        self.choose = random.Random(f"client {self.seed} {self.number} {self._turns}")

    def serial(self) -> int:
        """A number that grows."""
        self._serial += 1
        return self._serial

    def key(self) -> str:
        """A key that was never used."""
        return f"{self.seed}-{self.number}-{self.serial()}"

    async def run(self) -> None:
        """Work until the run ends."""
        while not self.shared.stopping():
            self.turn()
            await self.act()
            await asyncio.sleep(self.driver.luck.uniform(0.0, 2 * self.role.pause))

    async def finish(self) -> None:
        """Look where every session stands that ought to be there still."""
        for session in [one for one in self.shared.sessions if one.client == self.number and one.id]:
            if not session.over and not session.loose and session.ttl >= SHORT_LIVED:
                part = Part(Request())
                await self.driver.send(part, f"/v1/sessions/{session.id}", None, method="GET")
                session.events.append(Event("get", [part]))

    async def close(self) -> None:
        """Close the connections."""
        self.driver.http.close()

    async def act(self) -> None:
        """Open sessions where some are missing; otherwise step them all at once, or do something with one of them."""
        self.streams = [None if stream is None or stream.done else stream for stream in self.streams]
        live = [stream for stream in self.streams if stream is not None]
        if len(live) < len(self.streams):
            await open_sessions(self, [place for place, stream in enumerate(self.streams) if stream is None])
        elif len(live) > 1 and self.choose.random() < 0.8:
            await step_all(self, live)
        else:
            await self._act_on(self.choose.choice(live))

    async def _act_on(self, stream: Stream) -> None:
        acts = {name: weight for name, (weight, _) in _ACTS.items() if name not in self.role.never}
        name = "step" if stream.must_mark else self.choose.choices(list(acts), list(acts.values()))[0]
        self.shared.operations[name] += 1
        await _ACTS[name][1](self, stream)
