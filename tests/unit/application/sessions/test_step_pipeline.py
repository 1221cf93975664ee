"""The pipeline of steps: what happens to a batch at a time."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from service.application.ports import Deliver, Job, ReadResult, WriteResult
from service.application.sessions.serializers import StepResponse
from service.application.sessions.step_item import Step
from service.domain.errors import DeadlineExceeded, ShuttingDown, StoreUnavailable, UnrollError
from service.domain.models import ModelVersion
from service.domain.operations import Operation
from service.domain.sessions import Record, SessionKey
from tests.fakes import AddingEngine, MemoryStore
from tests.unit.application.world import World, feed, folded


class PassEngine(AddingEngine):
    """An engine that delivers together what was submitted until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[tuple[ModelVersion, Operation, bytes | None, Job, Deliver]] = []
        self.expected: list[int] = []

    @contextmanager
    def expecting(self) -> Iterator[None]:
        before = len(self.submitted)
        yield
        self.expected.append(len(self.submitted) - before)

    def submit(
        self, model: ModelVersion, operation: Operation, state: bytes | None, job: Job, deliver: Deliver
    ) -> None:
        self.submitted.append((model, operation, state, job, deliver))

    async def compute(self) -> Callable[[], None]:
        """Run what was submitted, and return what delivers it."""
        submitted, self.submitted = self.submitted, []
        results = [(job, await self.compute_outcome(operation, state)) for _, operation, state, job, _ in submitted]
        return partial(submitted[0][-1], results)

    async def run_pass(self) -> None:
        """Run what was submitted, and deliver it."""
        (await self.compute())()


@dataclass
class ShardedStore(MemoryStore):
    """A store whose shards are the last characters of session ids, and which notes what it is asked for together."""

    reads: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    held_shards: dict[str, asyncio.Event] = field(default_factory=dict)

    def shard_of(self, session: SessionKey) -> str:
        return session[1][-1]

    async def read_many(self, sessions: Sequence[SessionKey]) -> list[ReadResult]:
        self.reads.append(len(sessions))
        return await super().read_many(sessions)

    async def write_many(self, writes: Sequence[tuple[SessionKey, Record]]) -> list[WriteResult]:
        self.writes.append(len(writes))
        held = self.held_shards.get(self.shard_of(writes[0][0]))
        if held is not None:
            await held.wait()
        return await super().write_many(writes)


class OneShard(ShardedStore):
    """The same store with a single shard."""

    def shard_of(self, session: SessionKey) -> str:
        return "all"


def value_of(result: StepResponse | UnrollError) -> Any:
    assert isinstance(result, StepResponse)
    return json.loads(result.body)["output"]["value"]


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for is no event
            await asyncio.sleep(0)


@dataclass
class Running:
    """Steps under way in a world whose engine runs when it is told to."""

    world: World
    engine: PassEngine
    store: ShardedStore

    @classmethod
    def over(cls, store: ShardedStore) -> "Running":
        engine = PassEngine()
        return cls(World(store, engine), engine, store)

    async def start(
        self, sessions: Sequence[str], seconds: float = 30
    ) -> "asyncio.Task[list[StepResponse | UnrollError]]":
        """Start a step of each session, and return when the engine has them."""
        steps = [Step(session, feed(number + 1)) for number, session in enumerate(sessions)]
        task = asyncio.create_task(self.world.steps.apply_all(self.world.context(seconds=seconds), steps))
        await turns()
        return task


async def test_records_of_steps_that_begin_together_are_read_together() -> None:
    running = Running.over(OneShard())
    task = await running.start([await running.world.session() for _ in range(5)])
    assert running.store.reads == [5]
    await running.engine.run_pass()
    assert [value_of(result) for result in await task] == [folded(number) for number in range(1, 6)]


async def test_the_engine_expects_the_steps_whose_records_are_read() -> None:
    running = Running.over(OneShard())
    await running.start([await running.world.session() for _ in range(5)])
    assert running.engine.expected == [5]


async def test_steps_that_end_with_one_pass_are_written_together() -> None:
    running = Running.over(OneShard())
    task = await running.start([await running.world.session() for _ in range(5)])
    await running.engine.run_pass()
    await task
    assert running.store.writes == [5]


async def test_steps_of_different_durability_are_written_apart() -> None:
    running = Running.over(OneShard())
    sessions = [await running.world.session(durability=level) for level in ("memory", "fsynced", "memory")]
    task = await running.start(sessions)
    await running.engine.run_pass()
    await task
    assert sorted(running.store.writes) == [1, 2]


async def test_a_shard_that_does_not_answer_keeps_only_its_own_steps_waiting() -> None:
    running = Running.over(ShardedStore())
    slow = await running.world.session()
    fast = slow
    while running.store.shard_of(("public", fast)) == running.store.shard_of(("public", slow)):
        fast = await running.world.session()
    running.store.held_shards[slow[-1]] = answers = asyncio.Event()
    waiting, done = await running.start([slow]), await running.start([fast])
    await running.engine.run_pass()
    assert value_of((await done)[0]) == folded(1)
    assert not waiting.done()
    answers.set()
    assert value_of((await waiting)[0]) == folded(1)


async def test_a_step_whose_write_outlasts_its_deadline_keeps_the_next_one_waiting_until_the_store_answers() -> None:
    running = Running.over(OneShard())
    session = await running.world.session()
    running.store.held_shards["all"] = answers = asyncio.Event()
    late = await running.start([session], seconds=0.05)
    await running.engine.run_pass()
    following = await running.start([session])
    result = (await late)[0]
    assert isinstance(result, DeadlineExceeded)
    assert result.applied == "unknown"
    assert running.engine.submitted == [], "it would run from a record that is being replaced"
    answers.set()
    await until(lambda: running.engine.submitted)
    await running.engine.run_pass()
    assert value_of((await following)[0]) == folded(1, 1)


async def test_a_request_that_is_cancelled_as_its_pass_ends_is_not_told_that_its_step_was_not_applied() -> None:
    running = Running.over(OneShard())
    task = await running.start([await running.world.session()])
    deliver = await running.engine.compute()
    task.cancel()  # takes effect in the next turn of the event loop, in which the write begins
    deliver()
    result = (await task)[0]
    await running.world.steps.drain()
    assert isinstance(result, ShuttingDown)
    assert result.applied == "unknown"
    assert next(iter(running.store.records.values())).step == 1  # type: ignore[union-attr]


async def test_a_failed_read_fails_all_steps_that_it_was_for_and_no_other() -> None:
    running = Running.over(OneShard())
    sessions = [await running.world.session() for _ in range(2)]
    running.store.failure = StoreUnavailable("away")
    failed = await (await running.start(sessions))
    assert [type(result) for result in failed] == [StoreUnavailable] * 2
    assert {result.applied for result in failed if isinstance(result, UnrollError)} == {"no"}
    running.store.failure = None
    task = await running.start(sessions)
    await running.engine.run_pass()
    assert [value_of(result) for result in await task] == [folded(1), folded(2)]


@pytest.mark.parametrize("failure", [ZeroDivisionError(), StoreUnavailable("away")])
async def test_one_step_that_cannot_start_leaves_the_others_of_its_batch_alone(failure: Exception) -> None:
    running = Running.over(OneShard())
    sessions = [await running.world.session() for _ in range(3)]
    submit = running.engine.submit

    def submit_unless_second(
        model: ModelVersion, operation: Operation, state: bytes | None, job: Job, deliver: Deliver
    ) -> None:
        if operation == feed(2):
            raise failure
        submit(model, operation, state, job, deliver)

    running.engine.submit = submit_unless_second  # type: ignore[method-assign]
    task = await running.start(sessions)
    await running.engine.run_pass()
    first, second, third = await task
    assert (value_of(first), value_of(third)) == (folded(1), folded(3))
    assert isinstance(second, UnrollError)
    assert second.applied == "no"
    assert len(running.world.turns) == 0


async def test_nothing_is_left_when_the_pipeline_is_drained() -> None:
    running = Running.over(OneShard())
    running.store.held_shards["all"] = answers = asyncio.Event()
    task = await running.start([await running.world.session()])
    await running.engine.run_pass()
    task.cancel()
    drained = asyncio.create_task(running.world.steps.drain())
    await turns()
    assert not drained.done(), "its write has begun"
    answers.set()
    await drained
    assert next(iter(running.store.records.values())).step == 1  # type: ignore[union-attr]
