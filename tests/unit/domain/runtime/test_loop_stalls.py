"""Timeouts of the store do not count time in which the event loop did not run."""

import asyncio
import time

import pytest

from service.domain.runtime.loop_stalls import LoopStalls
from tests.conftest import UVLOOP

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", UVLOOP])]


async def test_a_reply_that_arrives_while_the_loop_stalls_is_in_time() -> None:
    stalls, lags = LoopStalls(), list[float]()
    loop = asyncio.get_running_loop()
    with stalls.sampled(lags.append):
        await asyncio.sleep(0.06)
        reply: asyncio.Future[str] = loop.create_future()
        async with stalls.timeout_at(loop.time() + 0.2):
            time.sleep(0.4)  # noqa: ASYNC251 - the stall
            loop.call_later(0.05, reply.set_result, "OK")
            assert await reply == "OK"
    assert 0.3 < stalls.total < 2
    assert max(lags) > 0.3


async def test_a_reply_that_never_comes_is_given_up_after_a_stall_too() -> None:
    stalls = LoopStalls()
    loop = asyncio.get_running_loop()

    async def stall_and_wait() -> None:
        async with stalls.timeout_at(loop.time() + 0.1):
            time.sleep(0.3)  # noqa: ASYNC251 - the stall
            await asyncio.sleep(20)

    with stalls.sampled(lambda _: None):
        await asyncio.sleep(0.06)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stall_and_wait(), 15)


async def test_a_timeout_without_stalls_ends_in_time() -> None:
    stalls, loop = LoopStalls(), asyncio.get_running_loop()
    started = loop.time()
    with stalls.sampled(lambda _: None), pytest.raises(TimeoutError):
        async with stalls.timeout_at(loop.time() + 0.1):
            await asyncio.sleep(20)
    assert loop.time() - started < 15


async def test_a_stall_is_ignored_once_the_time_is_over() -> None:
    stalls, loop, problems = LoopStalls(), asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: problems.append(context["message"]))

    def stall() -> None:
        stalls.total += 0.001

    async def stall_and_wait() -> None:
        async with stalls.timeout_at(loop.time() + 0.02):
            stall()
            time.sleep(0.1)  # noqa: ASYNC251 - the extended deadline is over, too
            loop.call_soon(loop.call_soon, stall)  # it runs when the time was extended once, before it is over
            await asyncio.sleep(20)

    with pytest.raises(TimeoutError):
        await stall_and_wait()
    await asyncio.sleep(0.01)
    assert not problems
