"""The pipeline of steps: load, decide, run, encode and commit, a batch of steps at a time.

A step begins when its session's turn comes. It continues from the cached record if there is one, else its record is
read with those of the other steps that arrived meanwhile. The engine runs it in batches. The steps that end with one
forward pass are encoded together and written in one round trip while the engine runs the next pass. A step that lost
the race for its record against another worker is loaded again.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from service.application.deadlines import DeadlineSweeper
from service.application.model_versions.resolver import VersionResolver
from service.application.ports import Clock, Engine, ReadResult, SessionObserver, StateStore, WriteResult
from service.application.sessions.idempotency import find_replay, is_new_step
from service.application.sessions.ids import SessionIds
from service.application.sessions.serializers import StepResponse
from service.application.sessions.sessions import at_step, require_live, require_visible
from service.application.sessions.step_encoding import encode_step
from service.application.sessions.step_item import SequenceBoundary, StepItem
from service.application.sessions.turns import SessionTurns
from service.application.time_slices import TurnSlices
from service.domain.errors import (
    DurabilityNotReached,
    IdempotencyKeyReused,
    InternalError,
    SessionEnded,
    StepConflict,
    StoreUnavailable,
    UnrollError,
    WriteConflict,
)
from service.domain.models import ModelVersion
from service.domain.operations import Generate, OpenSession, Outcome, Predict, Reset
from service.domain.sessions import Record

log = logging.getLogger(__name__)

T = TypeVar("T")


class StepPipeline:
    """Runs steps of sessions; each is applied exactly once, in the order of arrival at its session."""

    def __init__(
        self,
        *,
        models: VersionResolver,
        engine: Engine,
        store: StateStore,
        turns: SessionTurns,
        observer: SessionObserver,
        clock: Clock,
        slices: TurnSlices,
    ) -> None:
        self._models = models
        self._engine = engine
        self._store = store
        self._turns = turns
        self._observer = observer
        self._clock = clock
        self._slices = slices
        self._to_load: list[StepItem] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadlines: DeadlineSweeper[StepItem] = DeadlineSweeper(clock.monotonic, self._expire)

    def admit(self, item: StepItem) -> None:
        """Queue a step behind the others of its session."""
        self._deadlines.add(item)
        self._turns.enter(item.session, partial(self._begin, item))

    def abandon(self, item: StepItem, error: UnrollError, *, counted: bool) -> None:
        """End a step that nobody waits for any more, and count it as failed or not at all.

        A write that has begun is finished.
        """
        self._deadlines.discard(item)
        if item.settle(error):
            self._leave(item)
            if counted:
                self._observer.step("failed")

    async def drain(self) -> None:
        """Return when nothing is being read or written for a step."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _expire(self, item: StepItem) -> None:
        if item.settle(item.time_limit.exceeded(item.applied)):
            self._observer.step("failed")
            self._leave(item)

    def _begin(self, item: StepItem) -> bool:
        """Start a step whose turn has come; return whether it still needs the turn."""
        if item.result is not None:
            return False
        item.in_turn = True
        try:
            self._start(item)
        except Exception as error:  # noqa: BLE001 - one step's accident must not reach the others
            self._settle(item, error)
            item.in_turn = False
        return item.in_turn

    def _start(self, item: StepItem) -> None:
        # A stream whose record turned out to be outdated could not take its tokens back, and a reset to a step that an
        # outdated record does not keep would be refused. Whether a sequence begins anew is decided on what is stored.
        must_read = item.receiver is not None or item.boundary is not None or isinstance(item.operation, Reset)
        record = None if must_read else self._store.cached(*item.session)
        model = None if record is None else self._models.loaded(record)
        # Replays, conflicts and refusals are decided on the stored record.
        if (
            record is None
            or model is None
            or (item.models is not None and record.model not in item.models)
            or not is_new_step(record, item.identity)
        ):
            self._load_soon(item)
        else:
            self._run(item, record, model)

    # load

    def _load_soon(self, item: StepItem) -> None:
        """Read the record of a step together with those of the steps that begin in this turn of the event loop."""
        if not self._to_load:
            asyncio.get_running_loop().call_soon(self._load_queued)
        self._to_load.append(item)
        if item.trace is not None:
            item.trace.begin("load")

    def _load_queued(self) -> None:
        items, self._to_load = self._to_load, []
        for group in _grouped(items, lambda item: (self._store.shard_of(item.session), item.cost.client)):
            self._spawn(group, self._load(group))

    async def _load(self, items: Sequence[StepItem]) -> None:
        """Read the records of steps of one client, which lie on one shard, and decide on them."""
        ids = SessionIds(await self._store.secret())
        genuine = [item for item in items if self._attempt(item, partial(ids.require, *item.session))]
        with self._engine.expecting():
            records = await self._store.read_many([item.session for item in genuine]) if genuine else []
            for item, record in zip(genuine, records, strict=True):
                await self._slices.run(item.cost.client, partial(self._decide_on, item, record))

    # decide

    def _decide_on(self, item: StepItem, stored: ReadResult) -> None:
        """Decide on a step, unless it has ended meanwhile."""
        if item.result is None:
            self._attempt(item, partial(self._decide, item, stored))

    def _decide(self, item: StepItem, stored: ReadResult) -> None:
        """Answer a repetition or a conflict from the stored record; run a new step."""
        if item.boundary is not None and _begins(item, item.boundary, stored):
            self._run_first(item, item.boundary, stored)
            return
        if isinstance(stored, Exception):
            raise stored
        record = require_live(item.session[1], stored)
        require_visible(item.models, item.session[1], record)
        try:
            replay = find_replay(record, item.identity)
        except (StepConflict, IdempotencyKeyReused) as refusal:
            item.applied = refusal.applied or "no"
            self._spawn([item], self._confirm(item, record, refusal))
            return
        model = self._models.loaded(record)
        if replay is not None:
            item.applied = "yes"
            self._spawn([item], self._confirm(item, record, StepResponse(replay, replayed=True)))
        elif item.receiver is not None and item.receiver.has_tokens:
            raise StepConflict(
                f"another step was applied to the session while this one streamed; it is at step {record.step}",
                applied="no",
                step=record.step,
            )
        elif model is not None:
            self._run(item, record, model)
        else:
            self._spawn([item], self._resolve(item, record))

    async def _confirm(self, item: StepItem, record: Record, result: StepResponse | UnrollError) -> None:
        """End a step with `result` once `record`, which it reveals, is durable."""
        try:
            await self._store.confirm(*item.session, record)
        except WriteConflict:
            self._again(item)
        except (DurabilityNotReached, StoreUnavailable) as error:
            if item.applied == "yes":
                raise
            why = f"where the session stands is not durable yet: {error.message}"
            raise StoreUnavailable(why, applied=item.applied, step=record.step) from error
        else:
            if isinstance(result, StepResponse):
                await self._end_sequence(item)
            self._end(item, result)

    async def _resolve(self, item: StepItem, record: Record) -> None:
        """Run a step whose version was not found loaded, if it is by now."""
        model = await self._models.version_for_session(record)
        if item.result is None:
            self._run(item, record, model)

    # run

    def _run_first(self, item: StepItem, boundary: SequenceBoundary, stored: ReadResult) -> None:
        """Run a step that begins a sequence, from state 0."""
        first = boundary.first
        assert first is not None  # noqa: S101 - `_begins` has looked
        item.begins, item.replaced = True, stored if isinstance(stored, Record) else None
        model = self._models.loaded(first)
        if model is None:
            self._spawn([item], self._resolve(item, first))
        else:
            self._run(item, first, model)

    def _run(self, item: StepItem, record: Record, model: ModelVersion) -> None:
        if isinstance(item.operation, Reset):
            self._reset(item, item.operation, record, model)
        else:
            self._submit(item, item.operation, record, model)

    def _submit(
        self, item: StepItem, operation: Predict | Generate | OpenSession, record: Record, model: ModelVersion
    ) -> None:
        if item.model is None:  # else the step lost a race and runs again
            item.cost.add(self._engine.cost(model, operation, in_session=not item.begins))
        item.record, item.model = record, model
        if item.trace is not None:
            item.trace.begin("queue")
        self._engine.submit(model, operation, None if item.begins else record.state, item, self._ran)

    def _reset(self, item: StepItem, reset: Reset, record: Record, model: ModelVersion) -> None:
        """Run a reset. Only a state 0 that depends on the session's input has to be computed."""
        if reset.step is None and not self._engine.has_initial_state(model):
            self._submit(item, OpenSession(None), record, model)
            return
        state = self._engine.initial_state(model) if reset.step is None else at_step(record, reset.step).state
        item.record, item.model = record, model
        asyncio.get_running_loop().call_soon(self._ran, [(item, Outcome({}, state, timesteps=0))])

    # encode

    def _ran(self, finished: Sequence[tuple[StepItem, Outcome | Exception]]) -> None:
        """Encode and commit the steps that ended with one forward pass."""
        encoded: list[StepItem] = []
        for item, outcome in finished:
            if item.result is None and self._attempt(item, partial(self._encode, item, outcome)):
                encoded.append(item)
        for group in _grouped(encoded, self._commit_group):
            for item in group:
                # From here on the write is finished, whether anyone waits or not.
                item.committing, item.applied = True, "unknown"
                if item.trace is not None:
                    item.trace.begin("commit")
            self._spawn(group, self._commit(group))

    def _encode(self, item: StepItem, outcome: Outcome | Exception) -> None:
        """Make the response and the next record of a step."""
        if isinstance(outcome, Exception):
            raise outcome
        item.time_limit.check()
        encode_step(item, outcome, self._clock.now())

    # commit

    def _commit_group(self, item: StepItem) -> Hashable:
        assert item.record is not None  # noqa: S101 - likewise
        alone = None if item.boundary is None else item
        return self._store.shard_of(item.session), item.record.durability, alone

    async def _commit(self, items: Sequence[StepItem]) -> None:
        """Write the next records; then answer those that are stored, and load again those that lost a race."""
        writes = [(item.session, item.next_record) for item in items if item.next_record is not None]
        try:
            results = await (
                self._store.write_many(writes) if items[0].boundary is None else self._write_boundary(items[0])
            )
        finally:
            for item in items:
                item.committing = False
        for item, result in zip(items, results, strict=True):
            if isinstance(result, WriteConflict):
                self._again(item)
            else:
                self._end(item, StepResponse(item.answer) if isinstance(result, Record) else result)

    async def _write_boundary(self, item: StepItem) -> list[WriteResult]:
        """Write the record after a step that begins or ends a sequence, and end the session if it ends."""
        record = item.next_record
        assert record is not None  # noqa: S101 - `_encode` has set it
        try:
            if item.begins:
                if record.durability != "memory":
                    await self._store.require_reachable(item.session, record.durability, repeatable=False)
                stored = await self._store.begin(*item.session, record, item.replaced)
                self._observer.session_created(record.model)
                if item.replaced is not None:
                    self._observer.session_ended("restarted")
            else:
                stored = await self._store.write(*item.session, record)
            item.applied = "yes"
            await self._end_sequence(item)
        except WriteConflict as conflict:
            return [conflict]
        return [stored]

    async def _end_sequence(self, item: StepItem) -> None:
        """End the session of a step that ends its sequence."""
        if item.boundary is not None and item.boundary.ends:
            with contextlib.suppress(SessionEnded):
                if await self._store.end(*item.session):
                    self._observer.session_ended("deleted")

    def _again(self, item: StepItem) -> None:
        """Load a step again whose record was changed by another worker."""
        item.applied, item.begins = "no", False
        if item.result is None:
            self._load_soon(item)
        else:
            self._leave(item)

    # end

    def _end(self, item: StepItem, result: StepResponse | Exception) -> None:
        """Answer a step and give up its turn."""
        self._settle(item, result)
        self._leave(item)

    def _settle(self, item: StepItem, result: StepResponse | Exception) -> None:
        self._deadlines.discard(item)
        if isinstance(result, StepResponse):
            if item.settle(result):
                self._observer.step("replayed" if result.replayed else "applied")
            return
        if not isinstance(result, UnrollError):
            log.error("step crashed", exc_info=result)
            result = InternalError("something failed here; the log tells why", applied=item.applied)
        elif result.applied is None:
            result = result.with_applied("no")
        if item.settle(result):
            self._observer.step(_outcome_of(result))

    def _leave(self, item: StepItem) -> None:
        if item.in_turn and not item.committing:
            item.in_turn = False
            self._turns.leave(item.session)

    def _attempt(self, item: StepItem, stage: Callable[[], None]) -> bool:
        """Run a stage for one step; whatever it raises ends this step alone. Return whether it succeeded."""
        try:
            stage()
        except Exception as error:  # noqa: BLE001 - likewise
            self._end(item, error)
            return False
        return True

    def _spawn(self, items: Sequence[StepItem], stage: Coroutine[None, None, None]) -> None:
        """Run a stage that waits for the store as a task; whatever it raises ends `items`."""
        task = asyncio.get_running_loop().create_task(self._run_stage(items, stage))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_stage(self, items: Sequence[StepItem], stage: Coroutine[None, None, None]) -> None:
        try:
            await stage
        except Exception as error:  # noqa: BLE001 - likewise
            for item in items:
                self._end(item, error)


def _grouped(items: Iterable[StepItem], key_of: Callable[[StepItem], Hashable]) -> Iterable[list[StepItem]]:
    groups: defaultdict[Hashable, list[StepItem]] = defaultdict(list)
    for item in items:
        groups[key_of(item)].append(item)
    return groups.values()


def _begins(item: StepItem, boundary: SequenceBoundary, stored: ReadResult) -> bool:
    """Return whether a step that may begin a sequence does so, given what is stored under its id.

    A step that names the step count that it expects begins no sequence in place of a live one.
    """
    if boundary.first is None:
        return False
    if isinstance(stored, Record):
        return item.identity.step is None
    return stored is None or isinstance(stored, SessionEnded)


def _outcome_of(error: UnrollError) -> str:
    """Return the outcome under which a step that ended with `error` is counted."""
    if isinstance(error, StepConflict | IdempotencyKeyReused):
        return "conflict"
    return "applied" if isinstance(error, DurabilityNotReached) else "failed"
