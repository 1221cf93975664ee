"""The ports of a worker under attack: what is real, with points at which the conductor can stop or kill it."""

import os
import signal
import time
from dataclasses import dataclass

from service.application.ports import Engine, StateStore
from service.domain.models import ModelVersion
from service.domain.operations import Operation, Outcome
from service.domain.sessions import Record, SessionPage
from tests.chaos.control import Control

#: A step of the clock on the wall, by action: forward a day, back an hour, and the like.
WALL_JUMPS = {"day": 86_400_000, "hour-back": -3_600_000, "month": 2_592_000_000, "week-back": -604_800_000}
#: Clocks that never run backwards can still leap: a machine that slept.
LEAPS = {"leap": 45.0}


@dataclass(slots=True)
class JumpingClock:
    """The clock of this machine, until it jumps."""

    control: Control
    _wall: int = 0
    _leap: float = 0.0
    _next_look: float = 0.0

    def now(self) -> int:
        self._look()
        return time.time_ns() // 1_000_000 + self._wall

    def monotonic(self) -> float:
        return time.monotonic() + self._leap

    def _look(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + 0.05
        for action, milliseconds in WALL_JUMPS.items():
            if self.control.claim("clock", action):
                self._wall = milliseconds
        for action, seconds in LEAPS.items():
            if self.control.claim("clock", action):
                self._leap += seconds


def pass_by(control: Control, point: str) -> None:
    """A point in the life of a step at which a worker may stop, for a while or for good."""
    for name in ("SIGKILL", "SIGSTOP"):
        if control.claim(point, name):
            os.kill(os.getpid(), getattr(signal, name))


@dataclass(frozen=True, slots=True)
class WatchedEngine:
    """The engine, with a point after each forward pass of a step."""

    inner: Engine
    control: Control

    def versions(self) -> list[ModelVersion]:
        return self.inner.versions()

    def initial_state(self, model: ModelVersion) -> bytes:
        return self.inner.initial_state(model)

    async def run(
        self, model: ModelVersion, operation: Operation, state: bytes | None, deadline: float | None = None
    ) -> Outcome:
        outcome = await self.inner.run(model, operation, state, deadline)
        if state is not None:
            pass_by(self.control, "forward")
        return outcome

    def healthy(self) -> bool:
        return self.inner.healthy()


@dataclass(frozen=True, slots=True)
class WatchedStore:
    """The store, with a point between a step's commit and its answer. Broken stores derive from it."""

    inner: StateStore
    control: Control

    async def secret(self) -> bytes:
        return await self.inner.secret()

    async def read(self, tenant: str, session_id: str) -> Record | None:
        return await self.inner.read(tenant, session_id)

    def cached(self, tenant: str, session_id: str) -> Record | None:
        return self.inner.cached(tenant, session_id)

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        return await self.inner.create(tenant, session_id, record)

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        written = await self.inner.write(tenant, session_id, record)
        pass_by(self.control, "commit")
        return written

    async def confirm(self, tenant: str, session_id: str, record: Record) -> None:
        await self.inner.confirm(tenant, session_id, record)

    async def end(self, tenant: str, session_id: str) -> bool:
        return await self.inner.end(tenant, session_id)

    async def list(self, tenant: str, model: str | None, limit: int, cursor: str | None) -> SessionPage:
        return await self.inner.list(tenant, model, limit, cursor)

    async def active(self) -> int:
        return await self.inner.active()

    async def ping(self) -> None:
        await self.inner.ping()
