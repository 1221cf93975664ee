"""The way of a call: it is under way until its end is sent, and its message holds what it may take."""

import asyncio
import contextlib
import gc
import weakref
from typing import Any, cast

import pytest

from service.application.limits.request_bounds import RequestBounds
from service.application.limits.request_cost import CostBudget, CostLimits
from service.domain.errors import NotFound, Overloaded
from tests.fakes import CountingObserver, ManualClock

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
runner_module = pytest.importorskip("service.grpc.runner", reason="grpcio is not installed")
connections = pytest.importorskip("service.grpc.connections", reason="grpcio is not installed")
call_module = pytest.importorskip("service.grpc.call", reason="grpcio is not installed")

MESSAGE_BYTES = 2**20


class Context:
    """A call as the library has it, whose client takes its end when `read` is set and sends `message` after a time."""

    def __init__(self, message: bytes = b"", seconds: float = 0.0) -> None:
        self.read_end = asyncio.Event()
        self.message = message
        self.seconds = seconds

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:4711"

    async def read(self) -> bytes:
        await asyncio.sleep(self.seconds)
        return self.message

    async def abort(self, *_: object) -> None:
        await self.read_end.wait()
        raise grpc.aio.AbortError


def make_runner() -> Any:
    settings = runner_module.CallSettings(
        request_seconds=30.0,
        write_seconds=10.0,
        max_calls=8,
        max_streams=8,
        max_message_bytes=MESSAGE_BYTES,
        window=8,
        access_log="off",
        public_operations=False,
    )
    bounds = cast("RequestBounds", None)  # these calls are refused before
    own = connections.Connections(1, 8)
    return runner_module.CallRunner(bounds, CountingObserver(), ManualClock(), settings, own)


@pytest.mark.anyio
async def test_a_call_is_under_way_until_its_end_is_sent() -> None:
    async def refuse(_: Any) -> None:
        raise NotFound("nothing is here")

    runner, context = make_runner(), Context()
    task = asyncio.create_task(runner.run(context, "/route", refuse))
    await asyncio.sleep(0.01)
    assert runner.running == 1
    context.read_end.set()
    with pytest.raises(grpc.aio.AbortError):
        await task
    assert runner.running == 0


@pytest.mark.anyio
async def test_a_refused_call_is_no_garbage_for_the_collector() -> None:
    calls = list[weakref.ref[Any]]()

    async def refuse(call: Any) -> None:
        calls.append(weakref.ref(call))
        raise NotFound("nothing is here")

    runner, context = make_runner(), Context()
    context.read_end.set()
    gc.disable()
    try:
        with contextlib.suppress(grpc.aio.AbortError):
            await runner.run(context, "/route", refuse)
        await asyncio.sleep(0)
        assert [call() for call in calls] == [None]
    finally:
        gc.enable()


@pytest.mark.anyio
async def test_a_client_that_goes_while_its_answer_is_sent_is_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(Context):
        async def write(self, _: bytes) -> None:
            raise grpc.aio.InternalError("Failed grpc_call_start_batch: 8")

    async def answer(call: Any) -> None:
        await call.write(b"answer", 1.0)

    with pytest.raises(asyncio.CancelledError):
        await make_runner().run(Gone(), "/route", answer)
    assert not caplog.records


@pytest.mark.anyio
async def test_a_message_that_is_late_holds_the_memory_of_the_longest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "PROMPT_SECONDS", 0.01)
    runner, budget = make_runner(), CostBudget(CostLimits(memory=3 * MESSAGE_BYTES))
    prompt, late = (budget.request("client") for _ in range(2))
    read = runner._read_message
    assert await read(call_module.Call(Context(b"a" * 100_000), "/route"), prompt) == b"a" * 100_000
    assert budget.memory.used == 100_000
    assert await read(call_module.Call(Context(b"a", seconds=0.1), "/route"), late) == b"a"
    assert budget.memory.used == 100_000 + MESSAGE_BYTES
    for cost in (prompt, late):
        cost.release()
    assert budget.memory.used == 0


@pytest.mark.anyio
async def test_a_message_that_is_late_is_refused_if_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "PROMPT_SECONDS", 0.01)
    runner, budget = make_runner(), CostBudget(CostLimits(memory=3 * MESSAGE_BYTES))
    held = budget.request("client")
    held.add_memory(2 * MESSAGE_BYTES + 1)
    with pytest.raises(Overloaded, match="UNROLL_MAX_PENDING_BYTES"):
        await runner._read_message(call_module.Call(Context(seconds=20.0), "/route"), budget.request("client"))
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()
