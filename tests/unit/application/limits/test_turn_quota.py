"""The requests of one client do not all start in one turn of the event loop while there are others."""

import asyncio

import pytest

from service.application.limits.turn_quota import (
    BYTES_PER_REQUEST,
    FLOOD,
    FLOOD_PER_TURN,
    REQUESTS_PER_TURN,
    SHARED_SECONDS,
    TurnQuota,
)
from tests.fakes import ManualClock

pytestmark = pytest.mark.anyio


async def order_of(quota: TurnQuota, clients: str) -> str:
    """Return the order in which requests start that arrive in one turn."""
    started: list[str] = []

    async def run(client: str) -> None:
        await quota.start(client)
        started.append(client)

    await asyncio.gather(*map(run, clients))
    return "".join(started)


async def turns_of(quota: TurnQuota, clients: str) -> int:
    """Return how many turns of the event loop pass until all requests have started."""
    turns = 0
    task = asyncio.create_task(order_of(quota, clients))
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_a_client_alone_starts_all_its_requests_at_once() -> None:
    quota = TurnQuota(ManualClock().monotonic)
    assert await turns_of(quota, "a" * 500) < 8


async def test_a_request_of_another_client_starts_before_most_of_a_flood() -> None:
    quota = TurnQuota(ManualClock().monotonic)
    await quota.start("b")
    order = await order_of(quota, "a" * 200 + "b")
    assert order.index("b") <= 2 * REQUESTS_PER_TURN
    assert sorted(order) == sorted("a" * 200 + "b")


async def test_a_flood_starts_a_few_requests_in_each_turn() -> None:
    quota = TurnQuota(ManualClock().monotonic)
    await quota.start("b")
    assert await turns_of(quota, "a" * FLOOD) >= FLOOD / REQUESTS_PER_TURN
    assert await turns_of(quota, "a" * 3 * FLOOD) >= 2 * FLOOD / FLOOD_PER_TURN


async def test_a_client_is_alone_again_some_time_after_the_others_have_gone() -> None:
    clock = ManualClock()
    quota = TurnQuota(clock.monotonic)
    await quota.start("b")
    await quota.start("a")
    clock.seconds += SHARED_SECONDS
    assert await turns_of(quota, "a" * 500) < 8


async def test_a_large_request_counts_as_several() -> None:
    quota = TurnQuota(ManualClock().monotonic)
    await quota.start("b")
    await quota.start("a", 20 * BYTES_PER_REQUEST)
    assert await turns_of(quota, "ab") >= 20 / REQUESTS_PER_TURN
    assert await order_of(quota, "ab") == "ab"
    await quota.start("a", 20 * BYTES_PER_REQUEST)
    assert await order_of(quota, "ab") == "ba"
