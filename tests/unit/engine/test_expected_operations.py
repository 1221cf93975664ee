"""Passes wait for operations whose records are being read, but not for a store that is slow."""

import asyncio

from service.engine.expected_operations import PASSES_WITHOUT_WAITING, ExpectedOperations

LONG_PASS = 1e6


async def test_a_pass_waits_until_all_expected_operations_were_submitted() -> None:
    expected = ExpectedOperations()
    submitted: list[str] = []

    async def submit(name: str, answered: asyncio.Event) -> None:
        with expected.announce():
            await answered.wait()
            submitted.append(name)

    first, second = asyncio.Event(), asyncio.Event()
    reads = [asyncio.create_task(submit("first", first)), asyncio.create_task(submit("second", second))]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(expected.wait(LONG_PASS))
    first.set()
    await reads[0]
    assert not waiting.done()
    second.set()
    await waiting
    assert submitted == ["first", "second"]


async def test_a_pass_waits_no_longer_than_a_part_of_the_pass_before() -> None:
    expected = ExpectedOperations()
    with expected.announce():
        await expected.wait(pass_seconds=0.0)


async def test_without_expected_operations_nothing_waits() -> None:
    await ExpectedOperations().wait(LONG_PASS)


async def test_after_waiting_in_vain_some_passes_do_not_wait() -> None:
    expected = ExpectedOperations()
    with expected.announce():
        await expected.wait(pass_seconds=0.0)
        for _ in range(PASSES_WITHOUT_WAITING):
            await expected.wait(LONG_PASS)
        waiting = asyncio.create_task(expected.wait(LONG_PASS))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def test_a_read_that_fails_is_expected_no_more() -> None:
    expected = ExpectedOperations()
    try:
        with expected.announce():
            raise OSError
    except OSError:
        await expected.wait(LONG_PASS)
