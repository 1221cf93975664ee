"""Metrics for many scrapers: renderings are shared, one at a time, and never older than the request."""

import asyncio
import threading

import pytest

from service.telemetry.exposition import SharedExposition

pytestmark = pytest.mark.anyio


class Renderer:
    """A rendering that counts itself, and waits where a test says so."""

    def __init__(self) -> None:
        self.flushed = self.rendered = 0
        self.begun = asyncio.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self._running = threading.Lock()
        self._loop = asyncio.get_running_loop()

    def flush(self) -> None:
        self.flushed += 1

    def render(self) -> bytes:
        assert self._running.acquire(blocking=False), "two renderings at once"
        self.rendered += 1
        self._loop.call_soon_threadsafe(self.begun.set)
        flushed = self.flushed
        self.go_on.wait(10)
        self._running.release()
        return b"%d" % flushed


async def test_scrapes_that_arrive_together_share_one_rendering() -> None:
    renderer = Renderer()
    exposition = SharedExposition(renderer.flush, renderer.render)
    assert set(await asyncio.gather(*(exposition() for _ in range(64)))) == {b"1"}
    assert renderer.rendered == 1


async def test_a_scrape_during_a_rendering_gets_the_next_one() -> None:
    renderer = Renderer()
    exposition = SharedExposition(renderer.flush, renderer.render)
    renderer.go_on.clear()
    first = asyncio.create_task(exposition())
    await renderer.begun.wait()
    later = [asyncio.create_task(exposition()) for _ in range(8)]
    await asyncio.sleep(0)
    renderer.go_on.set()
    assert await first == b"1"
    assert set(await asyncio.gather(*later)) == {b"2"}
    assert renderer.rendered == 2


async def test_a_scraper_that_leaves_takes_nothing_from_the_others() -> None:
    renderer = Renderer()
    exposition = SharedExposition(renderer.flush, renderer.render)
    leaving, staying = asyncio.create_task(exposition()), asyncio.create_task(exposition())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"1"


async def test_a_failed_rendering_is_told_and_the_next_one_runs() -> None:
    renderer, failures = Renderer(), [ValueError("broken")]

    def render() -> bytes:
        if failures:
            raise failures.pop()
        return renderer.render()

    exposition = SharedExposition(renderer.flush, render)
    with pytest.raises(ValueError, match="broken"):
        await exposition()
    assert await exposition() == b"2"
