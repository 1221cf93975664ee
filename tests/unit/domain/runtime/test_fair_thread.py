"""One thread runs the long computations of all clients in turn."""

import asyncio
import threading
import time

import pytest

from service.domain.runtime.fair_thread import FairThread

pytestmark = pytest.mark.anyio


async def test_clients_take_turns_whoever_has_more_to_compute() -> None:
    thread, order, begin = FairThread(), list[str](), threading.Event()
    tasks = [asyncio.create_task(thread.run("a", begin.wait))]
    tasks += [asyncio.create_task(thread.run("a", lambda: order.append("a"))) for _ in range(5)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(thread.run("b", lambda: order.append("b"))) for _ in range(2)]
    await asyncio.sleep(0)
    begin.set()
    await asyncio.gather(*tasks)
    assert order[:4] in (["b", "a", "b", "a"], ["a", "b", "a", "b"])


async def test_what_a_function_raises_reaches_its_caller_alone() -> None:
    thread = FairThread()

    def fail() -> None:
        raise ValueError("broken")

    results = await asyncio.gather(
        thread.run("a", fail), thread.run("a", lambda: 1), thread.run("b", lambda: 2), return_exceptions=True
    )
    assert isinstance(results[0], ValueError)
    assert results[1:] == [1, 2]


async def test_a_caller_that_is_cancelled_keeps_nobody_waiting() -> None:
    thread, begin = FairThread(), threading.Event()
    running = asyncio.create_task(thread.run("a", begin.wait))
    waiting = asyncio.create_task(thread.run("a", lambda: None))
    await asyncio.sleep(0)
    waiting.cancel()
    begin.set()
    await running
    assert await thread.run("a", lambda: 3) == 3


async def test_a_client_rests_in_proportion_to_what_its_function_took() -> None:
    thread, order = FairThread(), list[str]()

    def compute() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        order.append("a")

    async def run_others() -> None:
        for _ in range(5):
            await thread.run("b", lambda: order.append("b"))

    first = asyncio.create_task(thread.run("a", compute, rest=100))
    await asyncio.sleep(0)
    second = asyncio.create_task(thread.run("a", compute))
    await first
    await run_others()
    assert order == ["a", *"bbbbb"]
    second.cancel()


async def test_a_caller_that_is_cancelled_when_its_turn_comes_passes_it_on() -> None:
    thread, begin = FairThread(), threading.Event()
    running = asyncio.create_task(thread.run("a", begin.wait))
    leaving = asyncio.create_task(thread.run("a", lambda: None))
    waiting = asyncio.create_task(thread.run("a", lambda: 3))
    await asyncio.sleep(0)
    begin.set()
    await running
    leaving.cancel()
    assert await waiting == 3
