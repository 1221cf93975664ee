"""Sessions: create, find, list, renew, fork and end."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.application.model_versions.resolver import VersionResolver
from service.application.operation_runner import OperationRunner
from service.application.ports import Clock, Engine, SessionObserver, StateStore
from service.application.request_context import RequestContext
from service.application.sessions import serializers
from service.application.sessions.creation import Created, IdempotentCreate, SessionFactory
from service.application.sessions.ids import unknown_session
from service.application.sessions.request_digest import digest
from service.application.sessions.turns import SessionTurns
from service.domain.errors import InvalidRequest, SessionExpired, WriteConflict
from service.domain.models import ModelVersion
from service.domain.operations import Input, Json, OpenSession
from service.domain.sessions import Durability, Record, SessionPage


@dataclass(frozen=True, slots=True)
class NewSession:
    """Request for a new session. Version None is the newest, durability None the default of the service."""

    model: str
    version: str | None
    ttl_seconds: int
    durability: Durability | None
    kept_steps: int
    input: Input | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Use cases of sessions. Each session belongs to the tenant that created it."""

    models: VersionResolver
    engine: Engine
    operations: OperationRunner
    store: StateStore
    turns: SessionTurns
    observer: SessionObserver
    clock: Clock
    creations: SessionFactory

    async def record(self, context: RequestContext, session_id: str) -> Record:
        """Return the record of a session. Raises SessionNotFound, SessionExpired, SessionEnded, StateCorrupted.

        Where the sender of the request may not use the model of a session, there is no such session.
        """
        async with context.deadline.enforce():
            record = await self.find(context.tenant, session_id)
        require_visible(context.principal.models, session_id, record)
        return record

    async def find(self, tenant: str, session_id: str) -> Record:
        """Return the record of a session without a deadline. Raises as `record`."""
        await self._check_id(tenant, session_id)
        return require_live(session_id, await self.store.read(tenant, session_id))

    async def get(self, context: RequestContext, session_id: str) -> dict[str, Json]:
        """Return the Session object."""
        return self._view(session_id, await self.record(context, session_id))

    async def create(self, context: RequestContext, request: NewSession, key: str | None) -> Created:
        """Create a session at state 0. The same key returns the same session again."""
        await self.models.require_visible(context, request.model)

        async def make() -> Record:
            async with context.deadline.enforce():
                model = await self.models.version_for_new_session(request.model, request.version)
            return self.creations.first_record(model, await self._state_0(context, model, request.input), request)

        repeatable = None if key is None else IdempotentCreate(("create", key), digest("create", request))
        return await self.creations.once(context, repeatable, make)

    async def _state_0(self, context: RequestContext, model: ModelVersion, source: Input | None) -> bytes:
        if source is None:
            return self.engine.initial_state(model)
        return (await self.operations.run(context, model, OpenSession(source))).state

    async def fork(
        self, context: RequestContext, session_id: str, step: int | None, ttl_seconds: int | None, key: str | None
    ) -> Created:
        """Copy a session to a new id, at its present step or at a kept earlier one."""

        async def make() -> Record:
            parent = await self.record(context, session_id)
            async with context.deadline.enforce():
                await self.models.version_for_session(parent)
            return self._child(at_step(parent, step), ttl_seconds or parent.ttl_seconds)

        repeatable = None
        if key is not None:
            async with context.deadline.enforce():
                await self._check_id(context.tenant, session_id)
            repeatable = IdempotentCreate(("fork", session_id, str(step), key), digest("fork", ttl_seconds))
        return await self.creations.once(context, repeatable, make)

    def _child(self, parent: Record, ttl_seconds: int) -> Record:
        now = self.clock.now()
        return replace(
            parent,
            created_at=now,
            expires_at=now + 1000 * ttl_seconds,
            ttl_seconds=ttl_seconds,
            origin=b"",
            keys=(),
            last=None,
            indexed_until=0,
            token=b"",
        )

    async def list(self, context: RequestContext, model: str | None, limit: int, cursor: str | None) -> dict[str, Json]:
        """Return one page of the tenant's sessions, newest first. A worker makes one of a tenant at a time."""
        page = await self.page(context, model, limit, cursor)
        data: list[Json] = [*self.views(page)]
        return {"object": "list", "data": data, "next_cursor": page.cursor}

    async def page(self, context: RequestContext, model: str | None, limit: int, cursor: str | None) -> SessionPage:
        """Return what is on a page of the tenant's sessions."""
        models = context.principal.models
        if model is not None:
            models = frozenset({model} if models is None else {model} & models)
        async with self.turns.hold((context.tenant, "listings"), context.deadline), context.deadline.enforce():
            return await self.store.list(context.tenant, models, limit, cursor)

    def views(self, page: SessionPage) -> Sequence[dict[str, Json]]:
        """Return the Session objects of a page."""
        tasks = serializers.tasks_by_model(self.engine.versions())
        return [serializers.session_json(session_id, summary, tasks) for session_id, summary in page.sessions]

    async def renew(self, context: RequestContext, session_id: str, ttl_seconds: int) -> dict[str, Json]:
        """Set a new time to live, counted from now. Raises InvalidRequest beyond the tenant's limit."""
        self.creations.require_ttl(context.tenant, ttl_seconds)
        async with self.turns.hold((context.tenant, session_id), context.deadline):
            while True:
                record = await self.record(context, session_id)
                expires_at = self.clock.now() + 1000 * ttl_seconds
                renewed = replace(record, ttl_seconds=ttl_seconds, expires_at=expires_at)
                context.deadline.check()
                with contextlib.suppress(WriteConflict):
                    async with context.deadline.enforce("unknown"):
                        return self._view(session_id, await self.store.write(context.tenant, session_id, renewed))

    async def end(self, context: RequestContext, session_id: str) -> None:
        """End a session. Raises SessionEnded if it has ended already."""
        if context.principal.models is not None:
            await self.record(context, session_id)
        async with context.deadline.enforce() as status:
            await self._check_id(context.tenant, session_id)
            status.applied = "unknown"
            existed = await self.store.end(context.tenant, session_id)
        if not existed:
            raise SessionExpired(f"session {session_id} expired, or was lost with its store")
        self.observer.session_ended("deleted")

    def _view(self, session_id: str, record: Record) -> dict[str, Json]:
        return serializers.session_json(session_id, record, serializers.tasks_by_model(self.engine.versions()))

    async def _check_id(self, tenant: str, session_id: str) -> None:
        (await self.creations.ids()).require(tenant, session_id)


def require_live(session_id: str, record: Record | None) -> Record:
    """Return the record that was read of a session. Raises SessionExpired if there is none."""
    if record is None:
        raise SessionExpired(f"session {session_id} expired, or was lost with its store; create a new one")
    return record


def require_visible(models: frozenset[str] | None, session_id: str, record: Record) -> None:
    """Raise SessionNotFound, as for an id that was never given, if a session's model is not one of `models`."""
    if models is not None and record.model not in models:
        raise unknown_session(session_id)


def at_step(parent: Record, step: int | None) -> Record:
    """Return the parent as of `step`. Raises InvalidRequest if that state is not kept."""
    if step is None or step == parent.step:
        return parent
    for index, kept in enumerate(parent.kept):
        if kept.step == step:
            return replace(parent, step=step, timesteps=kept.timesteps, state=kept.state, kept=parent.kept[:index])
    known = [kept.step for kept in parent.kept] + [parent.step]
    raise InvalidRequest(f"step is {step}: expected one of {known}, whose states the session keeps", param="step")
