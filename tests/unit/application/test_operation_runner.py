"""Operations that change no session end with an outcome, a failure or their deadline, together with their request."""

import asyncio
from collections.abc import Sequence

import pytest

from service.application import time_slices
from service.application.deadlines import DEPARTED, Deadline
from service.application.operation_runner import MAX_CONCURRENT, OperationFailed, OperationRunner
from service.application.ports import Deliver, Job
from service.application.request_context import RequestContext
from service.application.time_slices import TurnSlices
from service.domain.errors import DeadlineExceeded, InvalidRequest, Overloaded, ShuttingDown
from service.domain.models import ModelVersion
from service.domain.operations import Operation, Outcome, Predict, TextInput
from tests.fakes import AddingEngine, DateClock, model_version

REFUSED = Predict(TextInput(ids=(13,)))


class QueueingEngine(AddingEngine):
    """An engine that queues what is submitted, refuses one operation, and delivers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[tuple[Operation, Job, Deliver]] = []

    def submit(
        self, model: ModelVersion, operation: Operation, state: bytes | None, job: Job, deliver: Deliver
    ) -> None:
        if operation == REFUSED:
            raise InvalidRequest("input.ids[0] is 13", param="input.ids[0]")
        self.queue.append((operation, job, deliver))

    async def deliver(self, *indices: int) -> None:
        for index in indices:
            operation, job, deliver = self.queue[index]
            deliver([(job, await self.compute_outcome(operation, b""))])

    def fail(self, index: int, error: Exception) -> None:
        _, job, deliver = self.queue[index]
        deliver([(job, error)])

    def dropped(self) -> list[bool]:
        return [job.abandoned() for _, job, _ in self.queue]


def operations(*ids: int) -> list[Operation]:
    return [Predict(TextInput(ids=(index,))) for index in ids]


class Running:
    """A runner with its engine and a request's deadline."""

    def __init__(self, seconds: float = 30) -> None:
        self.engine, clock = QueueingEngine(), DateClock()
        self.slices = TurnSlices()
        self.runner = OperationRunner(self.engine, clock, self.slices)
        self.context = RequestContext("public", Deadline.after(clock, seconds))

    async def start(self, batch: Sequence[Operation]) -> "asyncio.Task[list[Outcome]]":
        task = asyncio.create_task(self.runner.run_all(self.context, model_version(), batch))
        await asyncio.sleep(0)
        return task


async def test_outcomes_are_in_the_order_of_the_operations_whichever_ends_first() -> None:
    running = Running()
    task = await running.start(operations(1, 2, 3))
    while len(running.engine.queue) < 3:  # noqa: ASYNC110 - a slow machine starts them in several turns
        await asyncio.sleep(0.001)
    await running.engine.deliver(2, 0, 1)
    assert [outcome.output["value"] for outcome in await task] == [1, 2, 3]


async def test_a_large_request_has_a_bounded_number_of_operations_in_the_engine() -> None:
    running = Running()
    task = await running.start(operations(*range(20, 20 + 2 * MAX_CONCURRENT)))
    await asyncio.sleep(0.01)
    assert len(running.engine.queue) == MAX_CONCURRENT
    await running.engine.deliver(0, 1, 2)
    await asyncio.sleep(0.01)
    assert len(running.engine.queue) == MAX_CONCURRENT + 3
    for index in range(3, 2 * MAX_CONCURRENT):
        await running.engine.deliver(index)
        await asyncio.sleep(0)
    assert [outcome.output["value"] for outcome in await task] == [*range(20, 20 + 2 * MAX_CONCURRENT)]


async def test_a_request_that_waits_for_room_ends_with_its_deadline() -> None:
    running = Running(seconds=0.02)
    with pytest.raises(DeadlineExceeded):
        await (await running.start(operations(*range(20, 20 + 2 * MAX_CONCURRENT))))
    assert len(running.engine.queue) == MAX_CONCURRENT
    assert all(running.engine.dropped())


async def test_a_refused_operation_is_named_by_its_index_and_the_others_are_dropped() -> None:
    running = Running()
    with pytest.raises(OperationFailed) as failed:
        await (await running.start([*operations(1, 2), REFUSED, *operations(4)]))
    assert (failed.value.index, type(failed.value.error)) == (2, InvalidRequest)
    assert running.engine.dropped() == [True, True]


async def test_the_first_failure_ends_the_request_and_later_results_change_nothing() -> None:
    running = Running()
    task = await running.start(operations(1, 2, 3))
    await running.engine.deliver(0)
    running.engine.fail(2, Overloaded("full"))
    running.engine.fail(1, InvalidRequest("late"))
    with pytest.raises(OperationFailed) as failed:
        await task
    assert (failed.value.index, type(failed.value.error)) == (2, Overloaded)
    await running.engine.deliver(1)


async def test_a_single_operation_raises_its_own_failure() -> None:
    running = Running()
    with pytest.raises(InvalidRequest):
        await running.runner.run(running.context, model_version(), REFUSED)


async def test_the_deadline_ends_all_operations_of_a_request() -> None:
    running = Running(seconds=0.01)
    with pytest.raises(DeadlineExceeded) as exceeded:
        await (await running.start(operations(1, 2)))
    assert exceeded.value.applied == "no"
    assert running.engine.dropped() == [True, True]


@pytest.mark.parametrize(("reason", "error"), [(DEPARTED, asyncio.CancelledError), ("stop", ShuttingDown)])
async def test_a_cancelled_request_drops_its_operations(reason: str, error: type[BaseException]) -> None:
    running = Running()
    task = await running.start(operations(1, 2))
    task.cancel(reason)
    with pytest.raises(error):
        await task
    assert running.engine.dropped() == [True, True]


@pytest.mark.parametrize(("reason", "error"), [(DEPARTED, asyncio.CancelledError), ("stop", ShuttingDown)])
async def test_a_request_that_is_cancelled_before_its_turn_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, reason: str, error: type[BaseException]
) -> None:
    monkeypatch.setattr(time_slices, "TURN_SECONDS", 0.0)
    running = Running()

    async def run_behind_another() -> None:
        await running.slices.run("other", int)
        await running.runner.run_all(running.context, model_version(), operations(1, 2))

    task = asyncio.create_task(run_behind_another())
    asyncio.get_running_loop().call_soon(task.cancel, reason)
    with pytest.raises(error):
        await task
    assert running.engine.queue == []
