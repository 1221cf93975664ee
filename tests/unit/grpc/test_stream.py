"""Tasks of a stream of inferences."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("grpc", reason="grpcio is not installed")

from service.grpc.stream import InferStream


async def fail() -> None:
    raise RuntimeError("the client has gone")


async def test_a_failure_that_nobody_asks_for_is_no_error_in_the_log() -> None:
    call: Any = SimpleNamespace(metadata={}, progress={})
    runner: Any = SimpleNamespace(settings=SimpleNamespace(window=4))
    unused: Any = None
    task = InferStream(call, unused, unused, runner)._start(fail())
    await asyncio.wait([task])
    # asyncio logs the exceptions of tasks that have this mark when they are collected.
    assert not task._log_traceback


async def test_a_request_that_is_read_when_its_stream_ends_gives_back_what_it_holds() -> None:
    released: list[bool] = []
    reading = asyncio.Event()

    async def read(*_: object) -> None:
        reading.set()
        await asyncio.Event().wait()

    async def admitted(*_: object) -> Any:
        return SimpleNamespace(context=None, release=lambda *, answered: released.append(answered))

    async def at_once(_: int) -> None: ...

    call: Any = SimpleNamespace(metadata={}, trace=None, progress={})
    admission: Any = SimpleNamespace(start=at_once, admit_behind=admitted)
    runner: Any = SimpleNamespace(settings=SimpleNamespace(window=4))
    inferences: Any = SimpleNamespace(read=read)
    stream = InferStream(call, admission, inferences, runner)
    task = asyncio.create_task(stream._admit(b""))
    await reading.wait()
    task.cancel()
    await asyncio.wait([task])
    assert len(released) == 1
