"""Builds that break a promise on purpose: the suite has to catch each of them.

answer-before-commit    a step is answered while its write is still under way
no-compare-and-set      whoever writes last, wins
zero-state-on-a-miss    a session that is not there begins again
"""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

from service.application.ports import StateStore
from service.domain.errors import UnrollError, WriteConflict
from service.domain.sessions import Record
from tests.chaos.control import Control
from tests.chaos.ports import WatchedStore, pass_by


@dataclass(frozen=True, slots=True)
class AnswersFirst(WatchedStore):
    """Answers before the commit."""

    background: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        task = asyncio.create_task(self._write_later(tenant, session_id, record))
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        pass_by(self.control, "commit")
        return record

    async def _write_later(self, tenant: str, session_id: str, record: Record) -> None:
        with contextlib.suppress(UnrollError, WriteConflict):
            await self.inner.write(tenant, session_id, record)


@dataclass(frozen=True, slots=True)
class LastWriterWins(WatchedStore):
    """Writes over whatever is there."""

    async def write(self, tenant: str, session_id: str, record: Record) -> Record:
        while True:
            try:
                return await WatchedStore.write(self, tenant, session_id, record)
            except WriteConflict:
                current = await self.inner.read(tenant, session_id)
                if current is None:
                    raise
                record = replace(record, token=current.token)


@dataclass(frozen=True, slots=True)
class BeginsAgain(WatchedStore):
    """Takes a session that is not there for one at a state of zeros."""

    known: dict[str, Record] = field(default_factory=dict)

    async def read(self, tenant: str, session_id: str) -> Record | None:
        found = await self.inner.read(tenant, session_id)
        before = self.known.get(session_id)
        if found is not None or before is None:
            if found is not None:
                self.known[session_id] = found
            return found
        zeros = bytes(len(before.state))
        fresh = replace(before, step=0, timesteps=0, state=zeros, keys=(), last=None, kept=(), token=b"")
        return await self.inner.create(tenant, session_id, fresh)


BROKEN: dict[str, type[WatchedStore]] = {
    "answer-before-commit": AnswersFirst,
    "no-compare-and-set": LastWriterWins,
    "zero-state-on-a-miss": BeginsAgain,
}


def make_store(kind: str, inner: StateStore, control: Control) -> StateStore:
    """The store of a build; an empty kind is the honest one."""
    return BROKEN[kind](inner, control) if kind else WatchedStore(inner, control)
