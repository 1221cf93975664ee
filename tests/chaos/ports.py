"""The ports of a worker under attack: what is real, with points at which the conductor can stop or kill it."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from service.application.ports import Deliver, Engine, Job, ReadResult, StateStore, WriteResult
from service.domain.cost import Cost
from service.domain.errors import UnrollError, WriteConflict
from service.domain.models import ModelVersion
from service.domain.operations import Operation, Outcome
from service.domain.sessions import Durability, Record, SessionKey, SessionPage, StoreUsage
from service.domain.tensor_interface import TensorInterface
from tests.chaos.control import Control

T = TypeVar("T")

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

    def find(self, model: str, version: str) -> ModelVersion | None:
        return self.inner.find(model, version)

    def tensors(self, model: ModelVersion) -> TensorInterface | None:
        return self.inner.tensors(model)

    def has_initial_state(self, model: ModelVersion) -> bool:
        return self.inner.has_initial_state(model)

    def initial_state(self, model: ModelVersion) -> bytes:
        return self.inner.initial_state(model)

    def cost(self, model: ModelVersion, operation: Operation, *, in_session: bool) -> Cost:
        return self.inner.cost(model, operation, in_session=in_session)

    def expecting(self) -> AbstractContextManager[None]:
        return self.inner.expecting()

    def submit(
        self, model: ModelVersion, operation: Operation, state: bytes | None, job: Job, deliver: Deliver
    ) -> None:
        def deliver_watched(results: Sequence[tuple[Any, Outcome | Exception]]) -> None:
            pass_by(self.control, "forward")
            deliver(results)

        self.inner.submit(model, operation, state, job, deliver if state is None else deliver_watched)

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

    async def require_reachable(self, session: SessionKey, durability: Durability, *, repeatable: bool) -> None:
        await self.inner.require_reachable(session, durability, repeatable=repeatable)

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        return await self.inner.create(tenant, session_id, record)

    async def discard(self, tenant: str, session_id: str, record: Record) -> bool:
        return await self.inner.discard(tenant, session_id, record)

    async def begin(self, tenant: str, session_id: str, record: Record, replaced: Record | None) -> Record:
        begun = await self.inner.begin(tenant, session_id, record, replaced)
        pass_by(self.control, "commit")
        return begun

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        written = await self.inner.write(tenant, session_id, record)
        pass_by(self.control, "commit")
        return written

    def shard_of(self, session: SessionKey) -> str:
        return self.inner.shard_of(session)

    async def read_many(self, sessions: Sequence[SessionKey]) -> list[ReadResult]:
        return list(await asyncio.gather(*(result_of(self.read(*session)) for session in sessions)))

    async def write_many(self, writes: Sequence[tuple[SessionKey, Record]]) -> list[WriteResult]:
        return list(await asyncio.gather(*(result_of(self.write(*session, record)) for session, record in writes)))

    async def confirm(self, tenant: str, session_id: str, record: Record) -> None:
        await self.inner.confirm(tenant, session_id, record)

    async def end(self, tenant: str, session_id: str) -> bool:
        return await self.inner.end(tenant, session_id)

    async def list(self, tenant: str, models: frozenset[str] | None, limit: int, cursor: str | None) -> SessionPage:
        return await self.inner.list(tenant, models, limit, cursor)

    async def tenants(self) -> Sequence[str]:
        return await self.inner.tenants()

    async def usage(self, tenants: Sequence[str]) -> Sequence[StoreUsage]:
        return await self.inner.usage(tenants)

    async def active(self) -> int:
        return await self.inner.active()

    async def ping(self) -> None:
        await self.inner.ping()


async def result_of(work: Awaitable[T]) -> T | UnrollError | WriteConflict:
    """What `work` returns, or the error that it raises."""
    try:
        return await work
    except (UnrollError, WriteConflict) as error:
        return error
