"""The life of a session: create, find, list, renew, fork, end."""

import contextlib
import secrets
from dataclasses import dataclass, replace

from service.application import views
from service.application.caller import Caller
from service.application.digests import SIZE, digest
from service.application.ids import SessionIds
from service.application.lanes import Lanes
from service.application.models import Models
from service.application.ports import Clock, Engine, Observer, StateStore
from service.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    SessionExpired,
    SessionNotFound,
    Unavailable,
    WriteConflict,
)
from service.types import Durability, Input, Json, ModelVersion, Open, Record


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a client asks of a new session; no version means the newest, no durability the service's own."""

    model: str
    version: str | None
    ttl_seconds: int
    durability: Durability | None
    kept_steps: int
    input: Input | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A session made, or found again because its creation was repeated."""

    session: dict[str, Json]
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Creates and finds sessions; every one belongs to the tenant that created it."""

    models: Models
    engine: Engine
    store: StateStore
    lanes: Lanes
    observer: Observer
    clock: Clock
    durability: Durability

    async def record(self, caller: Caller, session_id: str) -> Record:
        """Return a session's record. Raises SessionNotFound, SessionExpired, SessionEnded, StateCorrupted."""
        await self._check_id(caller, session_id)
        async with caller.deadline.bounding():
            record = await self.store.read(caller.tenant, session_id)
        if record is None:
            raise SessionExpired(f"session {session_id} expired, or was lost with its store; create a new one")
        return record

    async def get(self, caller: Caller, session_id: str) -> dict[str, Json]:
        """Return a Session."""
        return self._view(session_id, await self.record(caller, session_id))

    async def create(self, caller: Caller, wanted: NewSession, key: str | None) -> Created:
        """Create a session at state 0; the same key finds the same session again."""
        ids = await self._session_ids(caller)
        session_id, origin = ids.random(caller.tenant), b""
        if key is not None:
            session_id, origin = ids.derived(caller.tenant, "create", key), _origin(digest("create", wanted))
            found = await self._made_before(caller, session_id, origin)
            if found is not None:
                return found
        model = self.models.version(wanted.model, wanted.version)
        now = self.clock.now()
        record = Record(
            model=model.name,
            version=model.version,
            fingerprint=model.fingerprint,
            dtype=model.dtype,
            step=0,
            timesteps=0,
            created_at=now,
            expires_at=now + 1000 * wanted.ttl_seconds,
            ttl_seconds=wanted.ttl_seconds,
            durability=wanted.durability or self.durability,
            kept_steps=wanted.kept_steps,
            state=await self._state_0(caller, model, wanted.input),
            origin=origin,
        )
        return await self._create(caller, session_id, record)

    async def _state_0(self, caller: Caller, model: ModelVersion, given: Input | None) -> bytes:
        if given is None:
            return self.engine.initial_state(model)
        async with caller.deadline.bounding():
            return (await self.engine.run(model, Open(given), None, caller.deadline.at)).state

    async def fork(
        self, caller: Caller, session_id: str, step: int | None, ttl_seconds: int | None, key: str | None
    ) -> Created:
        """Copy a session as it stands, or at a kept earlier step, to a new one of its own."""
        ids = await self._session_ids(caller)
        child_id, origin = ids.random(caller.tenant), b""
        if key is not None:
            await self._check_id(caller, session_id)
            child_id = ids.derived(caller.tenant, "fork", session_id, str(step), key)
            origin = _origin(digest("fork", ttl_seconds))
            found = await self._made_before(caller, child_id, origin)
            if found is not None:
                return found
        parent = await self.record(caller, session_id)
        self.models.of_session(parent)
        now, ttl = self.clock.now(), ttl_seconds or parent.ttl_seconds
        record = replace(
            _at_step(parent, step),
            created_at=now,
            expires_at=now + 1000 * ttl,
            ttl_seconds=ttl,
            origin=origin,
            keys=(),
            last=None,
            indexed_until=0,
            token=b"",
        )
        return await self._create(caller, child_id, record)

    async def _made_before(self, caller: Caller, session_id: str, origin: bytes) -> Created | None:
        """Find what a repeated creation made, before its model or its parent is looked at: both may be gone."""
        async with caller.deadline.bounding():
            stored = await self.store.read(caller.tenant, session_id)
        return None if stored is None else await self._found_again(caller, session_id, stored, origin)

    async def _create(self, caller: Caller, session_id: str, record: Record) -> Created:
        async with caller.deadline.bounding("unknown"):
            stored = await self.store.create(caller.tenant, session_id, record)
        if stored.origin != record.origin:
            return await self._found_again(caller, session_id, stored, record.origin)
        self.observer.session_created(record.model)
        return Created(self._view(session_id, stored), replayed=False)

    async def _found_again(self, caller: Caller, session_id: str, stored: Record, origin: bytes) -> Created:
        if stored.origin[:SIZE] != origin[:SIZE]:
            raise IdempotencyKeyReused(
                f"Idempotency-Key was used to create session {session_id} with another body: expected the same body, "
                "or a new key",
                param="Idempotency-Key",
            )
        async with caller.deadline.bounding("yes"):
            stored = await self._confirmed(caller, session_id, stored)
        return Created(self._view(session_id, stored), replayed=True)

    async def _confirmed(self, caller: Caller, session_id: str, stored: Record) -> Record:
        """Wait until what is stored is durable; returns it, which steps may have changed meanwhile."""
        while True:
            try:
                await self.store.confirm(caller.tenant, session_id, stored)
            except WriteConflict:
                found = await self.store.read(caller.tenant, session_id)
                if found is None:
                    return stored
                stored = found
            else:
                return stored

    async def list(self, caller: Caller, model: str | None, limit: int, cursor: str | None) -> dict[str, Json]:
        """Return one page of the tenant's sessions, newest first."""
        async with caller.deadline.bounding():
            page = await self.store.list(caller.tenant, model, limit, cursor)
        tasks = self._tasks()
        data: list[Json] = [
            views.session(session_id, facts, tasks.get(facts.model, "")) for session_id, facts in page.sessions
        ]
        return {"object": "list", "data": data, "next_cursor": page.cursor}

    async def renew(self, caller: Caller, session_id: str, ttl_seconds: int) -> dict[str, Json]:
        """Give the session a new time to live, counted from now."""
        async with self.lanes.hold(session_id, caller.deadline):
            while True:
                record = await self.record(caller, session_id)
                expires_at = self.clock.now() + 1000 * ttl_seconds
                wanted = replace(record, ttl_seconds=ttl_seconds, expires_at=expires_at)
                caller.deadline.check()
                with contextlib.suppress(WriteConflict):
                    async with caller.deadline.bounding("unknown"):
                        return self._view(session_id, await self.store.write(caller.tenant, session_id, wanted))

    async def end(self, caller: Caller, session_id: str) -> None:
        """End a session for good. Raises SessionEnded when it is already."""
        await self._check_id(caller, session_id)
        async with caller.deadline.bounding("unknown"):
            found = await self.store.end(caller.tenant, session_id)
        if not found:
            raise SessionExpired(f"session {session_id} expired, or was lost with its store")
        self.observer.session_ended("deleted")

    def _view(self, session_id: str, record: Record) -> dict[str, Json]:
        return views.session(session_id, record, self._tasks().get(record.model, ""))

    def _tasks(self) -> dict[str, str]:
        return {version.name: version.task for version in self.engine.versions()}

    async def _check_id(self, caller: Caller, session_id: str) -> None:
        if not (await self._session_ids(caller)).genuine(caller.tenant, session_id):
            raise SessionNotFound(f"no session {session_id[:80]!r}: expected an id that this service gave you")

    async def _session_ids(self, caller: Caller) -> SessionIds:
        try:
            async with caller.deadline.bounding():
                return SessionIds(await self.store.secret())
        except Unavailable as error:
            error.applied = "no"
            raise


def _origin(body: bytes) -> bytes:
    """Return the digest of a keyed creation, and random bytes that tell two creations with one body apart."""
    return body + secrets.token_bytes(8)


def _at_step(parent: Record, step: int | None) -> Record:
    """Return the parent as it stood at `step`. Raises InvalidRequest when that state is not kept."""
    if step is None or step == parent.step:
        return parent
    for at, kept in enumerate(parent.kept):
        if kept.step == step:
            return replace(parent, step=step, timesteps=kept.timesteps, state=kept.state, kept=parent.kept[:at])
    known = [kept.step for kept in parent.kept] + [parent.step]
    raise InvalidRequest(f"step is {step}: expected one of {known}, whose states the session keeps", param="step")
