"""Group commit."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from service.domain.errors import StoreUnavailable
from service.store import RedisStore
from service.store.driver.commands import Command, CommandResult, read_command, write_command
from service.store.driver.group_commit import GroupCommit
from tests.conftest import UVLOOP


class RecordingExecutor:
    """Executor that replies to each command with itself once it may continue, and records the batches."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Command]] = []
        self.go = asyncio.Event()
        self.broken = False

    async def run(self, commands: Sequence[Command], deadline: float) -> list[CommandResult]:
        self.batches.append(commands)
        await self.go.wait()
        if self.broken:
            raise ZeroDivisionError
        return [CommandResult(command, command.arguments[0]) for command in commands]


def soon(seconds: float = 60.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def submit_all(group_commit: GroupCommit, numbers: range) -> list[asyncio.Task[CommandResult]]:
    tasks = [asyncio.create_task(group_commit.submit(read_command(number), soon())) for number in numbers]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_what_arrives_during_a_round_trip_goes_together_in_the_next() -> None:
    executor = RecordingExecutor()
    group_commit = GroupCommit(executor.run)
    tasks = await submit_all(group_commit, range(3)) + await submit_all(group_commit, range(3, 10))
    assert [len(batch) for batch in executor.batches] == [3]
    executor.go.set()
    assert [result.reply for result in await asyncio.gather(*tasks)] == list(range(10))
    assert [len(batch) for batch in executor.batches] == [3, 7]


async def test_commands_that_were_submitted_together_share_a_batch_and_get_their_own_results() -> None:
    executor = RecordingExecutor()
    executor.go.set()
    group_commit = GroupCommit(executor.run, max_batch=4)
    submissions = [range(3), range(3, 6), range(6, 7)]
    results = await asyncio.gather(
        *(group_commit.submit_all([read_command(number) for number in numbers], soon()) for numbers in submissions)
    )
    assert [[result.reply for result in own] for own in results] == [list(numbers) for numbers in submissions]
    assert [len(batch) for batch in executor.batches] == [6, 1]


async def test_batches_are_bounded_and_as_many_fly_as_allowed() -> None:
    executor = RecordingExecutor()
    group_commit = GroupCommit(executor.run, max_in_flight=2, max_batch=4)
    tasks = await submit_all(group_commit, range(10))
    assert [len(batch) for batch in executor.batches] == [4, 4]
    executor.go.set()
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in executor.batches] == [4, 4, 2]


async def test_a_round_trip_that_breaks_fails_each_member_with_an_error_of_its_own() -> None:
    executor = RecordingExecutor()
    executor.broken = True
    executor.go.set()
    group_commit = GroupCommit(executor.run)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # the bug is logged, not swallowed
    results = await asyncio.gather(*await submit_all(group_commit, range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert len({id(result) for result in results}) == 3
    executor.broken = False
    assert (await group_commit.submit(read_command(7), soon())).reply == 7


async def test_a_call_whose_turn_comes_too_late_is_never_sent() -> None:
    executor = RecordingExecutor()
    executor.go.set()
    with pytest.raises(StoreUnavailable) as late:
        await GroupCommit(executor.run).submit(write_command(1), soon(-1.0))
    assert late.value.applied == "no"
    assert not executor.batches


async def test_of_cancelled_callers_waiting_for_their_turn_only_writers_are_sent() -> None:
    executor = RecordingExecutor()
    group_commit = GroupCommit(executor.run)
    first = await submit_all(group_commit, range(1))
    waiting = [
        asyncio.create_task(group_commit.submit(command, soon())) for command in (read_command("r"), write_command("w"))
    ]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    executor.go.set()
    await asyncio.gather(*first)
    await group_commit.drain()
    assert executor.batches[1:] == [[write_command("w")]]


async def test_a_call_with_little_time_left_does_not_take_its_neighbours_time() -> None:
    executor = RecordingExecutor()
    group_commit = GroupCommit(executor.run)
    hurried = asyncio.create_task(group_commit.submit(write_command(1), soon(0.5)))
    patient = asyncio.create_task(group_commit.submit(write_command(2), soon()))
    with pytest.raises(StoreUnavailable) as refusal:
        await hurried
    assert refusal.value.applied == "unknown"
    executor.go.set()
    assert (await patient).reply == 2


async def test_calls_of_one_tick_share_a_round_trip(store: RedisStore, client: Redis) -> None:
    await store.ping()
    before = (await client.info("stats"))["total_reads_processed"]
    await asyncio.gather(*(store.read("tenant", f"id{number}") for number in range(100)))
    assert (await client.info("stats"))["total_reads_processed"] - before <= 4


@pytest.mark.parametrize("anyio_backend", [UVLOOP], ids=["uvloop"])
async def test_a_call_that_comes_too_late_delays_no_other_one_on_the_loop_that_serves() -> None:
    executor = RecordingExecutor()
    group_commit = GroupCommit(executor.run)
    late = asyncio.create_task(group_commit.submit(read_command(1), soon(-1.0)))
    in_time = asyncio.create_task(group_commit.submit(read_command(2), soon()))
    later = asyncio.create_task(group_commit.submit(read_command(3), soon(-2.0)))
    await asyncio.sleep(0)
    executor.go.set()
    first, second, third = await asyncio.gather(late, in_time, later, return_exceptions=True)
    assert isinstance(first, StoreUnavailable)
    assert isinstance(second, CommandResult)
    assert isinstance(third, StoreUnavailable)
