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
    call: Any = SimpleNamespace(metadata={})
    runner: Any = SimpleNamespace(settings=SimpleNamespace(window=4))
    unused: Any = None
    task = InferStream(call, unused, unused, runner)._start(fail())
    await asyncio.wait([task])
    # asyncio logs the exceptions of tasks that have this mark when they are collected.
    assert not task._log_traceback
