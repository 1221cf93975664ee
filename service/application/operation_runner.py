"""Runs operations that change no session: stateless predictions, peeks and the first states of new sessions.

As steps do, they wait for the engine as plain data, without a task or a timer for each of them.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from service.application.deadlines import DEPARTED, Deadline, DeadlineSweeper
from service.application.ports import Clock, Engine, TokenReceiver, Trace
from service.application.request_context import RequestContext
from service.application.time_slices import TurnSlices
from service.domain.errors import STOPPED, ShuttingDown, UnrollError
from service.domain.models import ModelVersion
from service.domain.operations import Operation, Outcome

#: The most operations of one request that are in the engine at a time: enough to fill a batch.
MAX_CONCURRENT = 64


class OperationFailed(Exception):
    """Raised for the operation at `index` of those that were run together; `error` says why."""

    def __init__(self, index: int, error: Exception) -> None:
        super().__init__(f"operation {index}: {error}")
        self.index = index
        self.error = error


@dataclass(slots=True, eq=False)
class _Batch:
    """Operations of one request. `done` has their outcomes, or the first failure; then the rest is dropped."""

    client: str
    time_limit: Deadline
    done: asyncio.Future[None]
    outcomes: list[Outcome | None]
    missing: int
    trace: Trace | None
    submitted: int = 0
    room: asyncio.Future[None] | None = None

    @property
    def deadline(self) -> float:
        return self.time_limit.at

    def expire(self) -> None:
        self.fail(self.time_limit.exceeded("no"))

    def fail(self, error: Exception) -> None:
        """End the batch with its first failure."""
        if not self.done.done():
            self.done.set_exception(error)
            self._signal()

    def complete(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of one operation, unless the batch has ended."""
        if self.done.done():
            return
        self.outcomes[index] = outcome
        self.missing -= 1
        if not self.missing:
            self.done.set_result(None)
        self._signal()

    async def wait_for_room(self) -> None:
        """Wait until fewer than MAX_CONCURRENT operations are in the engine, or the batch has ended."""
        completed = len(self.outcomes) - self.missing
        if self.submitted - completed >= MAX_CONCURRENT and not self.done.done():
            self.room = asyncio.get_running_loop().create_future()
            await self.room

    def _signal(self) -> None:
        if self.room is not None and not self.room.done():
            self.room.set_result(None)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """One operation of a batch, as the engine sees it."""

    batch: _Batch
    index: int
    receiver: TokenReceiver | None = None

    @property
    def client(self) -> str:
        return self.batch.client

    @property
    def deadline(self) -> float:
        return self.batch.time_limit.at

    @property
    def trace(self) -> Trace | None:
        return self.batch.trace

    def abandoned(self) -> bool:
        return self.batch.done.done()


class OperationRunner:
    """Runs operations through the engine until the deadline of their request."""

    def __init__(self, engine: Engine, clock: Clock, slices: TurnSlices) -> None:
        self._engine = engine
        self._slices = slices
        self._deadlines: DeadlineSweeper[_Batch] = DeadlineSweeper(clock.monotonic, _Batch.expire)

    async def run(
        self,
        context: RequestContext,
        model: ModelVersion,
        operation: Operation,
        state: bytes | None = None,
        receiver: TokenReceiver | None = None,
    ) -> Outcome:
        """Run one operation from `state`, or from the initial state if it is None; `receiver` gets its tokens.

        Raises DeadlineExceeded, ShuttingDown, and the errors of the engine.
        """
        try:
            (outcome,) = await self.run_all(context, model, [operation], state, (receiver,))
        except OperationFailed as failed:
            raise failed.error from failed.error.__cause__
        return outcome

    async def run_all(
        self,
        context: RequestContext,
        model: ModelVersion,
        operations: Sequence[Operation],
        state: bytes | None = None,
        receivers: Sequence[TokenReceiver | None] = (),
    ) -> list[Outcome]:
        """Run operations concurrently and return their outcomes in order; `receivers` get the tokens of each, if given.

        Raises OperationFailed for the first that fails, DeadlineExceeded and ShuttingDown; the others are dropped then.
        Raises as `RequestCost.add`, before any of them starts.
        """
        done = asyncio.get_running_loop().create_future()
        # Phases of operations that run at the same time would overlap.
        trace = context.trace if len(operations) == 1 else None
        batch = _Batch(context.cost.client, context.deadline, done, [None] * len(operations), len(operations), trace)
        self._deadlines.add(batch)
        add_costs = partial(self._add_costs, context, model, operations, in_session=state is not None)
        try:
            if len(operations) == 1:
                add_costs()
            else:
                await self._slices.run(batch.client, add_costs)
            for index, operation in enumerate(operations):
                await batch.wait_for_room()
                if done.done():
                    break
                job = _Job(batch, index, receivers[index] if receivers else None)
                await self._slices.run(batch.client, partial(self._submit, job, model, operation, state))
            await done
        except asyncio.CancelledError as error:
            if DEPARTED in error.args:
                raise
            raise ShuttingDown(STOPPED, applied="no") from None
        finally:
            done.cancel()
            self._deadlines.discard(batch)
            if trace is not None:
                trace.end()
        return [outcome for outcome in batch.outcomes if outcome is not None]

    def _add_costs(
        self, context: RequestContext, model: ModelVersion, operations: Sequence[Operation], *, in_session: bool
    ) -> None:
        """Add the costs of all operations of a request. Raises as `RequestCost.add`."""
        for operation in operations:
            context.cost.add(self._engine.cost(model, operation, in_session=in_session))

    async def run_together(
        self,
        context: RequestContext,
        model: ModelVersion,
        operations: Sequence[Operation],
        receivers: Sequence[TokenReceiver | None] = (),
    ) -> list[Outcome]:
        """Run the operations of the inputs of one request; an error names the input. If one fails, all fail."""
        try:
            return await self.run_all(context, model, operations, receivers=receivers)
        except OperationFailed as failed:
            raise _name_input(failed.error, failed.index) from failed.error.__cause__

    def _submit(self, job: _Job, model: ModelVersion, operation: Operation, state: bytes | None) -> None:
        """Submit an operation, unless the batch has ended. Raises OperationFailed."""
        if job.abandoned():
            return
        if job.trace is not None:
            job.trace.begin("queue")
        try:
            self._engine.submit(model, operation, state, job, _deliver)
            job.batch.submitted += 1
        except UnrollError as error:
            raise OperationFailed(job.index, error) from error


def _name_input(error: Exception, index: int) -> Exception:
    """Return the error of one of several operations, which names its input by index."""
    if not isinstance(error, UnrollError) or error.param is None or not error.param.startswith("input"):
        return error
    message, param = (f"inputs[{index}]{text.removeprefix('input')}" for text in (error.message, error.param))
    return error.with_message(message, param)


def _deliver(results: Sequence[tuple[_Job, Outcome | Exception]]) -> None:
    for job, result in results:
        if isinstance(result, Exception):
            job.batch.fail(OperationFailed(job.index, result))
        else:
            job.batch.complete(job.index, result)
