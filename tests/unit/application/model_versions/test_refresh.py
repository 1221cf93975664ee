"""Refreshes on demand: shared by all who wait, one at a time, and begun after the call that waits for it."""

import asyncio
from dataclasses import dataclass, field

import pytest

from service.application.model_versions.refresh import RefreshLimiter
from tests.timing import within

APART_SECONDS = 0.02


@dataclass
class HeldRefresh:
    """Refresh that lasts until `free` is set; records when each began, on the loop's clock."""

    free: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    began: list[float] = field(default_factory=list)
    under_way: int = 0
    failure: Exception | None = None

    async def refresh(self) -> None:
        self.began.append(asyncio.get_running_loop().time())
        self.begun.set()
        self.under_way += 1
        assert self.under_way == 1
        await self.free.wait()
        self.under_way -= 1
        if self.failure is not None:
            raise self.failure


@within(10)
async def test_calls_before_a_refresh_begins_share_it_and_later_calls_share_the_next() -> None:
    held = HeldRefresh()
    limiter = RefreshLimiter(held.refresh, APART_SECONDS)
    early = [asyncio.create_task(limiter()) for _ in range(100)]
    await held.begun.wait()
    late = [asyncio.create_task(limiter()) for _ in range(100)]
    await asyncio.sleep(2 * APART_SECONDS)
    assert not any(task.done() for task in early + late)
    held.free.set()
    await asyncio.gather(*early, *late)
    assert len(held.began) == 2


@within(10)
async def test_refreshes_begin_a_minimum_interval_apart() -> None:
    held = HeldRefresh()
    held.free.set()
    limiter = RefreshLimiter(held.refresh, APART_SECONDS)
    for _ in range(4):
        await limiter()
    gaps = [after - before for before, after in zip(held.began, held.began[1:], strict=False)]
    assert len(gaps) == 3
    assert min(gaps) >= APART_SECONDS


@within(10)
async def test_a_cancelled_call_neither_ends_a_refresh_nor_starts_another() -> None:
    held = HeldRefresh()
    limiter = RefreshLimiter(held.refresh, APART_SECONDS)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * APART_SECONDS):
                await limiter()
    assert held.under_way == len(held.began) == 1
    held.free.set()
    await limiter()
    assert len(held.began) == 2


@within(10)
async def test_a_refresh_that_fails_does_so_for_all_its_callers_and_the_next_may_succeed() -> None:
    held = HeldRefresh(failure=OSError("away"))
    held.free.set()
    limiter = RefreshLimiter(held.refresh, APART_SECONDS)
    failed = await asyncio.gather(limiter(), limiter(), return_exceptions=True)
    assert failed == [held.failure] * 2
    held.failure = None
    await limiter()


@within(10)
async def test_no_refresh_runs_or_waits_after_the_limiter_is_closed() -> None:
    tasks, held = asyncio.all_tasks(), HeldRefresh()
    limiter = RefreshLimiter(held.refresh, APART_SECONDS)
    running = asyncio.create_task(limiter())
    await held.begun.wait()
    waiting = asyncio.create_task(limiter())
    await asyncio.sleep(0)
    await limiter.aclose()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert (running.cancelled(), waiting.cancelled()) == (True, True)
    assert asyncio.all_tasks() == tasks
    assert len(held.began) == 1
