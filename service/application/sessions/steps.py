"""Steps of sessions: read the record, run the operation, write the record, then answer."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from service.application.deadlines import AppliedStatus
from service.application.model_versions.resolver import VersionResolver
from service.application.ports import Clock, Engine, SessionObserver, StateStore
from service.application.request_context import RequestContext
from service.application.sessions import serializers
from service.application.sessions.idempotency import RequestIdentity, find_replay, next_record, require_expected_step
from service.application.sessions.locks import SessionLocks
from service.application.sessions.request_digest import digest
from service.application.sessions.serializers import StepResponse
from service.application.sessions.sessions import Sessions
from service.domain.errors import (
    DurabilityNotReached,
    IdempotencyKeyReused,
    InternalError,
    StepConflict,
    StoreUnavailable,
    UnrollError,
    WriteConflict,
)
from service.domain.operations import Generate, Predict
from service.domain.sessions import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """Request to advance a session. `step` is the expected step count, `key` the Idempotency-Key."""

    session_id: str
    operation: Predict | Generate
    step: int | None = None
    key: str | None = None

    def identity(self) -> RequestIdentity:
        """Return the identity by which a repetition of this request is recognised."""
        key = b"" if self.key is None else digest("key", self.key)
        return RequestIdentity(self.step, key, digest("step", self.operation, self.step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Use cases of steps. Each step is applied exactly once, in order."""

    sessions: Sessions
    models: VersionResolver
    engine: Engine
    store: StateStore
    locks: SessionLocks
    observer: SessionObserver
    clock: Clock

    async def peek(self, context: RequestContext, step: Step) -> StepResponse:
        """Return the answer that a step would get, without advancing the session. Raises StepConflict."""
        record = await self.sessions.record(context, step.session_id)
        require_expected_step(record, step.identity())
        async with context.deadline.enforce():
            model = await self.models.version_for_session(record)
            outcome = await self.engine.run(model, step.operation, record.state, context.deadline.at)
        stands = {"step": record.step, "timesteps": record.timesteps, "expires_at": record.expires_at}
        return StepResponse(serializers.step_result(step.session_id, record, outcome.output, **stands))

    async def apply(self, context: RequestContext, step: Step) -> StepResponse:
        """Apply a step, or replay its answer. `applied` of an error states whether the step took effect."""
        identity = step.identity()
        try:
            async with self.locks.acquire(step.session_id, context.deadline):
                return await self._apply_in_turn(context, step, identity)
        except UnrollError as error:
            self._count_failure(error)
            if error.applied is None:
                raise error.with_applied("no") from error.__cause__
            raise

    async def apply_all(self, context: RequestContext, steps: Sequence[Step]) -> list[StepResponse | UnrollError]:
        """Apply steps of many sessions concurrently; steps of one session run in their order."""
        return await asyncio.gather(*(self._settle(context, step) for step in steps))

    async def _settle(self, context: RequestContext, step: Step) -> StepResponse | UnrollError:
        try:
            return await self.apply(context, step)
        except UnrollError as error:
            return error
        except Exception as error:  # one step's accident must not hide what became of the others
            log.error("step crashed", exc_info=error)
            return InternalError("something failed here; the log tells why", applied="unknown")

    async def _apply_in_turn(self, context: RequestContext, step: Step, identity: RequestIdentity) -> StepResponse:
        async with context.deadline.enforce() as status:
            record = self._cached_record(context, step, identity)
            while True:
                try:
                    if record is None:
                        record = await self.sessions.find(context.tenant, step.session_id)
                        repeated = await self._repeated(context, step, identity, record, status)
                        if repeated is not None:
                            return repeated
                    return await self._run_and_write(context, step, identity, record, status)
                except WriteConflict:
                    record, status.applied = None, "no"
                    context.deadline.check()

    def _cached_record(self, context: RequestContext, step: Step, identity: RequestIdentity) -> Record | None:
        """Return the cached record if the step applies to it, else None.

        If the cached record is stale, the write fails and the step is computed again. Replays and conflicts are always
        decided on the stored record.
        """
        record = self.store.cached(context.tenant, step.session_id)
        if record is None or not self.models.is_loaded(record):
            return None
        try:
            return None if find_replay(record, identity) is not None else record
        except (StepConflict, IdempotencyKeyReused):
            return None

    async def _repeated(
        self, context: RequestContext, step: Step, identity: RequestIdentity, record: Record, status: AppliedStatus
    ) -> StepResponse | None:
        """Return the stored answer if the request is a repetition, else None.

        A replay and a refusal both reveal an earlier write, so both wait until that write is durable.
        """
        try:
            repeated = find_replay(record, identity)
            status.applied = "no" if repeated is None else "yes"
        except (StepConflict, IdempotencyKeyReused) as refusal:
            status.applied = refusal.applied or "no"
            await self._confirm(context, step, record, status)
            raise
        if repeated is None:
            return None
        await self._confirm(context, step, record, status)
        self.observer.step("replayed")
        return StepResponse(repeated, replayed=True)

    async def _confirm(self, context: RequestContext, step: Step, record: Record, status: AppliedStatus) -> None:
        try:
            await self.store.confirm(context.tenant, step.session_id, record)
        except (DurabilityNotReached, StoreUnavailable) as error:
            if status.applied == "yes":
                raise
            why = f"where the session stands is not durable yet: {error.message}"
            raise StoreUnavailable(why, applied=status.applied, step=record.step) from error

    async def _run_and_write(
        self, context: RequestContext, step: Step, identity: RequestIdentity, record: Record, status: AppliedStatus
    ) -> StepResponse:
        model = await self.models.version_for_session(record)
        outcome = await self.engine.run(model, step.operation, record.state, context.deadline.at)
        expires_at = self.clock.now() + 1000 * record.ttl_seconds
        stands = {"step": record.step + 1, "timesteps": record.timesteps + outcome.timesteps, "expires_at": expires_at}
        try:
            answer = serializers.step_result(step.session_id, record, outcome.output, **stands)
        except ValueError:
            raise InternalError("the network answered with a number that is not finite", applied="no") from None
        context.deadline.check()
        # Past this line the store finishes the write, whether anyone waits or not.
        status.applied = "unknown"
        after = next_record(record, model.dtype, outcome, identity, answer=answer, expires_at=expires_at)
        await self.store.write(context.tenant, step.session_id, after)
        self.observer.step("applied")
        return StepResponse(answer)

    def _count_failure(self, error: UnrollError) -> None:
        conflict = isinstance(error, StepConflict | IdempotencyKeyReused)
        applied = isinstance(error, DurabilityNotReached)
        self.observer.step("conflict" if conflict else "applied" if applied else "failed")
