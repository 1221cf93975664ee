"""Deadlines: how long a request may wait, and how it is cut off."""

import asyncio
from dataclasses import dataclass

import pytest

from service.application.deadlines import SWEEP_SECONDS, Deadline, DeadlineSweeper
from service.domain.errors import Applied, DeadlineExceeded, ShuttingDown
from tests.fakes import ManualClock


async def test_a_deadline_cuts_the_wait_short_and_names_the_budget() -> None:
    with pytest.raises(DeadlineExceeded, match="within the 5 ms"):
        async with Deadline.after(ManualClock(), 0.005).enforce():
            await asyncio.Event().wait()


@pytest.mark.parametrize("applied", ["no", "unknown", "yes"])
async def test_a_request_that_is_cut_off_tells_what_took_effect(applied: Applied) -> None:
    async def wait() -> None:
        async with Deadline.after(ManualClock(), 60).enforce(applied):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ShuttingDown) as refusal:
        await task
    assert refusal.value.applied == applied


@dataclass(eq=False)
class Waiting:
    """Something that waits until a deadline."""

    deadline: float


async def passed(clock: ManualClock, seconds: float) -> None:
    """Let `seconds` pass by the clock, and a sweep."""
    clock.seconds += seconds
    await asyncio.sleep(2 * SWEEP_SECONDS)


async def test_only_items_whose_deadline_has_passed_expire() -> None:
    clock, expired = ManualClock(), list[Waiting]()
    sweeper = DeadlineSweeper(clock.monotonic, expired.append)
    soon, late = Waiting(clock.seconds + 1), Waiting(clock.seconds + 5)
    sweeper.add(soon)
    sweeper.add(late)
    await passed(clock, 0.5)
    assert expired == []
    await passed(clock, 1)
    assert expired == [soon]
    await passed(clock, 10)
    assert expired == [soon, late]
    assert len(sweeper) == 0


async def test_an_item_that_is_done_does_not_expire() -> None:
    clock, expired = ManualClock(), list[Waiting]()
    sweeper = DeadlineSweeper(clock.monotonic, expired.append)
    item = Waiting(clock.seconds + 1)
    sweeper.add(item)
    sweeper.discard(item)
    await passed(clock, 2)
    assert expired == []


async def test_a_sweeper_that_was_idle_sweeps_again() -> None:
    clock, expired = ManualClock(), list[Waiting]()
    sweeper = DeadlineSweeper(clock.monotonic, expired.append)
    for count in (1, 2):
        sweeper.add(Waiting(clock.seconds + 1))
        await passed(clock, 2)
        assert len(expired) == count
