"""Idempotent creation of sessions: a creation that is repeated with its key returns the same session."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from service.application.ports import Clock, Engine, SessionObserver, StateStore
from service.application.request_context import RequestContext
from service.application.sessions import serializers
from service.application.sessions.ids import SessionIds
from service.application.sessions.request_digest import SIZE
from service.domain.errors import DurabilityNotReached, IdempotencyKeyReused, InvalidRequest, Unavailable, WriteConflict
from service.domain.limits import LIMITS_SETTING, LimitsOfTenants
from service.domain.models import ModelVersion
from service.domain.operations import Json
from service.domain.sessions import Durability, Record

#: TTL of sessions whose client names none.
DEFAULT_TTL_SECONDS = 3600

MakeRecord: TypeAlias = Callable[[], Awaitable[Record]]


class SessionTerms(Protocol):
    """Properties that every new session is requested with; durability None is the default of the service."""

    @property
    def ttl_seconds(self) -> int: ...
    @property
    def durability(self) -> Durability | None: ...
    @property
    def kept_steps(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DefaultTerms:
    """Terms of sessions whose client names none."""

    ttl_seconds: int = DEFAULT_TTL_SECONDS
    durability: Durability | None = None
    kept_steps: int = 0


DEFAULT_TERMS = DefaultTerms()


@dataclass(frozen=True, slots=True)
class Created:
    """A session that was created, or found again because its creation was repeated."""

    session: dict[str, Json]
    replayed: bool


@dataclass(frozen=True, slots=True)
class IdempotentCreate:
    """A creation with a key. The session id is derived from `name`; `body` is the digest of the request."""

    name: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFactory:
    """Factory of sessions: the part that creation, fork and import have in common."""

    engine: Engine
    store: StateStore
    observer: SessionObserver
    clock: Clock
    durability: Durability
    limits: LimitsOfTenants = field(default_factory=LimitsOfTenants)

    async def ids(self) -> SessionIds:
        """Return the generator of session ids. Raises StoreUnavailable with `applied: "no"`."""
        try:
            return SessionIds(await self.store.secret())
        except Unavailable as error:
            raise error.with_applied("no") from error.__cause__

    def first_record(
        self, model: ModelVersion, state: bytes, terms: SessionTerms, *, step: int = 0, timesteps: int = 0
    ) -> Record:
        """Return the first record of a session that is created now."""
        now = self.clock.now()
        return Record(
            model=model.name,
            version=model.version,
            fingerprint=model.fingerprint,
            dtype=model.dtype,
            step=step,
            timesteps=timesteps,
            created_at=now,
            expires_at=now + 1000 * terms.ttl_seconds,
            ttl_seconds=terms.ttl_seconds,
            durability=terms.durability or self.durability,
            kept_steps=terms.kept_steps,
            state=state,
        )

    def first_record_of_sequence(self, tenant: str, model: ModelVersion, state: bytes) -> Record:
        """Return the first record of a session that its client names as a sequence, on the default terms."""
        return self._with_allowed_ttl(tenant, self.first_record(model, state, DEFAULT_TERMS))

    async def once(self, context: RequestContext, repeatable: IdempotentCreate | None, make: MakeRecord) -> Created:
        """Store the record that `make` returns. With `repeatable`, return the session that exists already, if any.

        What was made before is looked for first: its model or its parent may be gone by now.
        """
        async with context.deadline.enforce():
            ids = await self.ids()
        if repeatable is None:
            return await self._store(context, ids.random(context.tenant), await make())
        session_id = ids.derived(context.tenant, *repeatable.name)
        async with context.deadline.enforce():
            stored = await self.store.read(context.tenant, session_id)
        if stored is not None:
            return await self._replay(context, session_id, stored, repeatable.body)
        # The random bytes tell two creations with one body apart.
        origin = repeatable.body + secrets.token_bytes(8)
        return await self._store(context, session_id, replace(await make(), origin=origin))

    def _with_allowed_ttl(self, tenant: str, record: Record) -> Record:
        """Return a first record with the tenant's largest TTL if its own is the default. Raises InvalidRequest."""
        limit = self.limits.of(tenant).ttl_seconds
        if record.ttl_seconds == DEFAULT_TTL_SECONDS and limit is not None and limit < DEFAULT_TTL_SECONDS:
            return replace(record, ttl_seconds=limit, expires_at=record.created_at + 1000 * limit)
        self.require_ttl(tenant, record.ttl_seconds)
        return record

    def require_ttl(self, tenant: str, ttl_seconds: int) -> None:
        """Raise InvalidRequest if a tenant's sessions must not live that long without a step."""
        self._require_at_most("ttl_seconds", ttl_seconds, self.limits.of(tenant).ttl_seconds)

    def _require_at_most(self, name: str, value: int, limit: int | None) -> None:
        if limit is not None and value > limit:
            raise InvalidRequest(
                f"{name} is {value}: expected at most {limit} ({name} in {LIMITS_SETTING})", param=name, applied="no"
            )

    async def _store(self, context: RequestContext, session_id: str, record: Record) -> Created:
        record = self._with_allowed_ttl(context.tenant, record)
        self._require_at_most("kept_steps", record.kept_steps, self.limits.of(context.tenant).kept_steps)
        if record.durability != "memory":
            async with context.deadline.enforce():
                await self.store.require_reachable(
                    (context.tenant, session_id), record.durability, repeatable=bool(record.origin)
                )
        async with context.deadline.enforce("unknown"):
            try:
                stored = await self.store.create(context.tenant, session_id, record)
            except DurabilityNotReached as error:
                raise await self._discard(context.tenant, session_id, record, error) from error
        if stored.origin != record.origin:
            return await self._replay(context, session_id, stored, record.origin)
        self.observer.session_created(record.model)
        return self._created(session_id, stored, replayed=False)

    async def _discard(
        self, tenant: str, session_id: str, record: Record, error: DurabilityNotReached
    ) -> DurabilityNotReached:
        """Return the error of a creation that is stored and not durable. Without a key, nobody can ask for it again."""
        if record.origin or error.applied == "no" or not await self.store.discard(tenant, session_id, record):
            return error
        return DurabilityNotReached(f"{error.message}; the session was removed again", applied="no")

    async def _replay(self, context: RequestContext, session_id: str, stored: Record, body: bytes) -> Created:
        if not context.principal.sees(stored.model):
            raise IdempotencyKeyReused(
                "Idempotency-Key was used for another session of this tenant: expected a new key",
                param="Idempotency-Key",
            )
        if stored.origin[:SIZE] != body[:SIZE]:
            raise IdempotencyKeyReused(
                f"Idempotency-Key was used to create session {session_id} with another body: expected the same body, "
                "or a new key",
                param="Idempotency-Key",
            )
        async with context.deadline.enforce("yes"):
            stored = await self._confirmed(context, session_id, stored)
        return self._created(session_id, stored, replayed=True)

    async def _confirmed(self, context: RequestContext, session_id: str, stored: Record) -> Record:
        """Wait until the stored record is durable and return it; steps may have changed it meanwhile."""
        while True:
            try:
                await self.store.confirm(context.tenant, session_id, stored)
            except WriteConflict:
                current = await self.store.read(context.tenant, session_id)
                if current is None:
                    return stored
                stored = current
            else:
                return stored

    def _created(self, session_id: str, record: Record, *, replayed: bool) -> Created:
        return Created(
            serializers.session_json(session_id, record, serializers.tasks_by_model(self.engine.versions())), replayed
        )
