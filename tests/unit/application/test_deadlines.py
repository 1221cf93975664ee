"""Deadlines: how long a request may wait, and how it is cut off."""

import asyncio

import pytest

from service.application.deadlines import Deadline
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
