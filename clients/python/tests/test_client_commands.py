"""Files of saved sessions."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from unroll_client.commands import WriteFile


async def test_a_write_that_is_cancelled_does_not_take_the_place_of_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, begun, go_on, sync = tmp_path / "session.json", threading.Event(), threading.Event(), os.fsync

    def wait_and_sync(descriptor: int) -> None:
        begun.set()
        go_on.wait(10)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", wait_and_sync)
    first = asyncio.create_task(WriteFile(path, b"first").run_async())
    await asyncio.to_thread(begun.wait)
    first.cancel()
    second = asyncio.create_task(_write_after(first, path))
    await asyncio.sleep(0.05)
    assert not second.done()
    go_on.set()
    await second
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


async def _write_after(first: "asyncio.Task[None]", path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        await first
    await WriteFile(path, b"second").run_async()
