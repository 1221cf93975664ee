"""Engine that runs the operations of many requests in batches, on one event loop.

Forward passes run on the event loop itself: on a CPU a thread for them costs about a fifth of the throughput.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from service.domain.cost import Cost
from service.domain.errors import DeadlineExceeded, InternalError, ModelNotReady, UnrollError
from service.domain.models import ModelVersion
from service.domain.operations import Operation, Outcome
from service.domain.runtime.fair_thread import THREAD
from service.domain.tensor_interface import TensorInterface
from service.engine.batcher import Batcher
from service.engine.expected_operations import ExpectedOperations
from service.engine.loaded_models import ModelRegistry
from service.engine.queued_operation import Deliver, Job, QueuedOperation, Result, TokenReceiver, token_source
from service.engine.runner import outcome_of, run_timestep
from service.tasks.base import TokenSource
from service.tasks.tensor_interface import TensorTask

log = logging.getLogger(__name__)

#: How many turns of the event loop without a new operation end the gathering of a batch, and how many do at the most.
GATHER_QUIET_TURNS = 3
MAX_GATHER_TURNS = 12
#: Time after which a batch is gathered for no more than MIN_GATHER_TURNS. Turns usually take less than a millisecond;
#: those that parse large requests take more, and what is queued already does not wait for them. A few turns pass in any
#: case: steps that have ended need them to be written and answered.
GATHER_SECONDS = 0.012
MIN_GATHER_TURNS = 4
#: Outcomes that cost more, some milliseconds, are made in a thread.
MAX_OUTCOME_COST = 8
#: A client rests for so many times as long as the making of its large outcome took, and beside other clients.
OUTCOME_REST = 1.0
SHARED_OUTCOME_REST = 4.0


class EngineObserver(Protocol):
    """Receives the events of the engine, for metrics."""

    def queue(self, depth: int) -> None: ...
    def batch(self, model: str, version: str, size: int, seconds: float) -> None: ...
    def waited(self, model: str, version: str, seconds: float) -> None: ...
    def ran(self, model: ModelVersion, outcomes: Sequence[Outcome]) -> None: ...
    def first_token(self, model: str, version: str, seconds: float) -> None: ...


class BatchingEngine:
    """Runs timestep after timestep the operations that the batcher selects, as long as there are any."""

    def __init__(
        self,
        registry: ModelRegistry,
        observer: EngineObserver,
        monotonic: Callable[[], float],
        *,
        max_batch: int,
        max_queue: int,
        weight_of: Callable[[str], float] = lambda _: 1.0,
    ) -> None:
        self._registry = registry
        self._observer = observer
        self._monotonic = monotonic
        self._batcher: Batcher[QueuedOperation] = Batcher(max_batch, max_queue, weight_of)
        self._due = asyncio.Event()
        self._expected = ExpectedOperations()
        self._pass_seconds = 0.0
        self._running: list[QueuedOperation] = []
        self._task: asyncio.Task[None] | None = None
        self._outcomes: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the engine's asyncio task. Call it within the event loop."""
        self._task = asyncio.create_task(self._run_forever(), name="engine")
        self._task.add_done_callback(self._on_end)

    async def ended(self) -> None:
        """Wait until the engine has failed or was stopped."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Stop the engine. Operations that are not finished fail with ModelNotReady."""
        if self._task is not None:
            tasks = [self._task, *self._outcomes]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def healthy(self) -> bool:
        return self._task is not None and not self._task.done()

    def versions(self) -> list[ModelVersion]:
        return self._registry.versions()

    def has_initial_state(self, model: ModelVersion) -> bool:
        return self._registry.get(model).task.initial_state is not None

    def initial_state(self, model: ModelVersion) -> bytes:
        task = self._registry.get(model).task
        return task.state_codec.to_bytes(task.initial_state)

    def find(self, model: str, version: str) -> ModelVersion | None:
        return self._registry.find(model, version)

    def tensors(self, model: ModelVersion) -> TensorInterface | None:
        task = self._registry.get(model).task
        return task.tensor_interface if isinstance(task, TensorTask) else None

    def cost(self, model: ModelVersion, operation: Operation, *, in_session: bool) -> Cost:
        return self._registry.get(model).task.cost(operation, in_session=in_session)

    def submit(
        self, model: ModelVersion, operation: Operation, state: bytes | None, job: Job, deliver: Deliver
    ) -> None:
        if not self.healthy():
            raise _stopped()
        self._batcher.require_place(job.client)
        loaded = self._registry.get(model)
        initial = loaded.task.initial_state if state is None else loaded.task.state_codec.from_bytes(state)
        running = loaded.task.start(operation, initial)
        stream = None if job.receiver is None else (token_source(model, running), job.receiver)
        self._batcher.submit(QueuedOperation(loaded, running, job, deliver, self._monotonic(), stream))
        self._due.set()

    def expecting(self) -> AbstractContextManager[None]:
        return self._expected.announce()

    async def _run_forever(self) -> None:
        while True:
            await self._due.wait()
            await self._gather()
            await self._expected.wait(self._pass_seconds)
            self._run_once()
            if not len(self._batcher):
                self._due.clear()

    async def _gather(self) -> None:
        """Yield to the event loop while more operations arrive.

        A request needs several turns of the event loop from its socket to the queue; without these turns it would
        miss the next forward pass.
        """
        quiet, end = 0, self._monotonic() + GATHER_SECONDS
        for turn in range(MAX_GATHER_TURNS):
            before = len(self._batcher)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._batcher) == before else 0
            if quiet == GATHER_QUIET_TURNS or (turn >= MIN_GATHER_TURNS - 1 and self._monotonic() >= end):
                break

    def _run_once(self) -> None:
        now = self._monotonic()
        self._observer.queue(len(self._batcher))
        batch = self._batcher.next(now)
        if batch.expired:
            late = DeadlineExceeded("the request's time was over before its turn came", applied="no")
            _deliver([(entry, late) for entry in batch.expired])
        self._running = batch.members
        for entry in batch.members:
            if not entry.started:
                entry.started, version = True, entry.loaded.version
                self._observer.waited(version.name, version.version, now - entry.submitted)
                if entry.job.trace is not None:
                    entry.job.trace.begin("run")
        if batch.members:
            self._advance(batch.members, now)
        self._running = []
        self._observer.queue(len(self._batcher))

    def _advance(self, members: list[QueuedOperation], now: float) -> None:
        version = members[0].loaded.version
        failures = run_timestep(members[0].loaded.task, [entry.operation for entry in members])
        self._pass_seconds = self._monotonic() - now
        self._observer.batch(version.name, version.version, len(members), self._pass_seconds)
        unfinished: list[QueuedOperation] = []
        ended: list[QueuedOperation] = []
        finished = []
        for entry, failure in zip(members, failures, strict=True):
            if entry.stream is not None and failure is None:
                failure = self._hand_out(version, *entry.stream)  # noqa: PLW2901 - whatever it was
            if failure is None and not entry.operation.finished:
                unfinished.append(entry)
                continue
            ended.append(entry)
            if entry.abandoned():
                continue
            if failure is None and entry.operation.outcome_cost > MAX_OUTCOME_COST:
                self._finish_in_thread(entry)
            else:
                finished.append((entry, _result_of(entry, failure)))
        self._batcher.requeue(unfinished)
        self._batcher.release(ended)
        self._running = unfinished
        self._finish(version, finished)

    def _hand_out(self, version: ModelVersion, source: TokenSource, receiver: TokenReceiver) -> Exception | None:
        """Hand the new tokens of a streamed operation to their receiver; return the failure, or None."""
        try:
            tokens = source.new_tokens()
        except Exception as error:  # noqa: BLE001 - one operation's failure must not end the engine
            return error
        if tokens and not receiver.has_tokens:
            self._observer.first_token(version.name, version.version, self._monotonic() - receiver.started)
        receiver.put(tokens)
        return None

    def _finish(self, version: ModelVersion, finished: Sequence[tuple[QueuedOperation, Result]]) -> None:
        self._count(version, [result for _, result in finished if isinstance(result, Outcome)])
        _deliver(finished)

    def _finish_in_thread(self, entry: QueuedOperation) -> None:
        """Make a large outcome in a thread, while the engine goes on."""
        self._batcher.charge(entry, entry.operation.outcome_cost)
        task = asyncio.create_task(self._make_outcome(entry))
        self._outcomes.add(task)
        task.add_done_callback(self._outcomes.discard)

    async def _make_outcome(self, entry: QueuedOperation) -> None:
        rest = SHARED_OUTCOME_REST if self._batcher.is_shared(self._monotonic()) else OUTCOME_REST
        try:
            result = await THREAD.run(entry.client, lambda: _result_of(entry, None), rest=rest)
        except asyncio.CancelledError:
            result = _stopped()
        if not entry.abandoned():
            self._finish(entry.loaded.version, [(entry, result)])

    def _count(self, version: ModelVersion, outcomes: list[Outcome]) -> None:
        try:
            self._observer.ran(version, outcomes)
        except Exception as error:
            log.error("outcomes not counted", exc_info=error)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("the engine died", exc_info=task.exception())
        # The operations of a pass that was cut off may be queued again already.
        unfinished = dict.fromkeys([*self._running, *self._batcher.clear()])
        _deliver([(entry, _stopped()) for entry in unfinished if not entry.abandoned()])


def _result_of(entry: QueuedOperation, failure: Exception | None) -> Result:
    """Return the outcome of an operation that has ended, or the error for whoever waits for it."""
    if failure is None:
        try:
            return outcome_of(entry.loaded.task, entry.operation)
        except Exception as error:  # noqa: BLE001 - an outcome that cannot be built must not end the engine
            failure = error
    if isinstance(failure, UnrollError):
        return failure
    version = entry.loaded.version
    log.error("operation failed", extra={"model": version.name, "version": version.version}, exc_info=failure)
    return InternalError("the forward pass failed; the server's log tells why", applied="no")


def _deliver(results: Sequence[tuple[QueuedOperation, Result]]) -> None:
    """Hand results over, those with one receiver together. A receiver that fails does not end the engine."""
    by_receiver: defaultdict[Deliver, list[tuple[Job, Result]]] = defaultdict(list)
    for entry, result in results:
        by_receiver[entry.deliver].append((entry.job, result))
    for deliver, delivered in by_receiver.items():
        try:
            deliver(delivered)
        except Exception as error:
            log.error("results not delivered", exc_info=error)


def _stopped() -> ModelNotReady:
    return ModelNotReady("the engine of this worker has stopped; another worker can answer", applied="no")
