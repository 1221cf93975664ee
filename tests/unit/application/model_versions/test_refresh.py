"""Looks on demand: shared by those who wait, one at a time, and none that began before it was asked for."""

import asyncio
from dataclasses import dataclass, field

import pytest

from service.application.model_versions.refresh import RefreshLimiter
from tests.timing import within

APART_SECONDS = 0.02


@dataclass
class Looking:
    """A look that lasts as long as it is held; notes when each began, on the loop's clock."""

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
async def test_all_who_ask_before_a_look_begins_share_it_and_all_who_ask_later_share_the_next() -> None:
    looking = Looking()
    fresh = RefreshLimiter(looking.refresh, APART_SECONDS)
    early = [asyncio.create_task(fresh()) for _ in range(100)]
    await looking.begun.wait()
    late = [asyncio.create_task(fresh()) for _ in range(100)]
    await asyncio.sleep(2 * APART_SECONDS)
    assert not any(one.done() for one in early + late)
    looking.free.set()
    await asyncio.gather(*early, *late)
    assert len(looking.began) == 2


@within(10)
async def test_looks_begin_a_pause_apart() -> None:
    looking = Looking()
    looking.free.set()
    fresh = RefreshLimiter(looking.refresh, APART_SECONDS)
    for _ in range(4):
        await fresh()
    gaps = [after - before for before, after in zip(looking.began, looking.began[1:], strict=False)]
    assert len(gaps) == 3
    assert min(gaps) >= APART_SECONDS


@within(10)
async def test_who_gives_up_neither_ends_a_look_nor_makes_room_for_another() -> None:
    looking = Looking()
    fresh = RefreshLimiter(looking.refresh, APART_SECONDS)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * APART_SECONDS):
                await fresh()
    assert looking.under_way == len(looking.began) == 1
    looking.free.set()
    await fresh()
    assert len(looking.began) == 2


@within(10)
async def test_a_look_that_fails_does_so_for_those_who_wait_and_the_next_may_succeed() -> None:
    looking = Looking(failure=OSError("away"))
    looking.free.set()
    fresh = RefreshLimiter(looking.refresh, APART_SECONDS)
    failed = await asyncio.gather(fresh(), fresh(), return_exceptions=True)
    assert failed == [looking.failure] * 2
    looking.failure = None
    await fresh()


@within(10)
async def test_no_refresh_runs_or_waits_after_the_limiter_is_closed() -> None:
    tasks, looking = asyncio.all_tasks(), Looking()
    limiter = RefreshLimiter(looking.refresh, APART_SECONDS)
    running = asyncio.create_task(limiter())
    await looking.begun.wait()
    waiting = asyncio.create_task(limiter())
    await asyncio.sleep(0)
    await limiter.aclose()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert (running.cancelled(), waiting.cancelled()) == (True, True)
    assert asyncio.all_tasks() == tasks
    assert len(looking.began) == 1
