"""What one WebSocket may cost a worker: its time, its memory, and its place among the connections."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.frames import Close, Frame, Opcode

from service.application.deadlines import DEPARTED
from service.domain.errors import DeadlineExceeded, Overloaded
from service.process.connections import refusals
from service.process.connections import table as table_module
from service.process.connections.limits import ConnectionLimits
from service.process.connections.table import ConnectionTable
from service.process.connections.websocket import MAX_WAITING_BYTES, WebSocket

MAX_BYTES = 1_000_000
PING_SECONDS = 20.0


@dataclass
class Transport:
    """Takes what is written, and what becomes of the connection."""

    out: bytes = b""
    unread: int = 0
    written: int = 0
    reading: bool = True
    events: list[str] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.out += data
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return "close" in self.events or "abort" in self.events

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.events.append("close")

    def abort(self) -> None:
        self.events.append("abort")

    def write_eof(self) -> None:
        self.events.append("eof")


class Refusals:
    """Counts the reasons of what is refused."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def response(self, *_: object) -> tuple[bytes, bytes]:
        raise AssertionError("a WebSocket has no response")

    def count(self, reason: str) -> None:
        self.reasons.append(reason)


@dataclass
class Opened:
    """An open WebSocket with all that it touches."""

    websocket: WebSocket
    transport: Transport
    refusals: Refusals
    table: ConnectionTable

    def receive(self, *frames: bytes) -> None:
        self.websocket.data_received(b"".join(frames))


def opened(count: int = 1, **limits: Any) -> Sequence[Opened]:
    table, all_refusals = ConnectionTable(ConnectionLimits(**limits)), Refusals()
    sockets = []
    for number in range(count):
        websocket, transport = WebSocket(table, all_refusals, MAX_BYTES, PING_SECONDS), Transport()
        websocket.client = ("10.0.0.1", number)
        table.add(websocket)
        websocket.connect(transport, websocket.client, b"", lambda _: None)  # type: ignore[arg-type]
        sockets.append(Opened(websocket, transport, all_refusals, table))
    return sockets


def text(data: bytes) -> bytes:
    return bytes(Frame(Opcode.TEXT, data).serialize(mask=True))


async def test_answers_of_one_turn_of_the_loop_are_written_together() -> None:
    (socket,) = opened()
    socket.receive(text(b"1"), text(b"2"))
    assert [await socket.websocket.receive(), await socket.websocket.receive()] == [b"1", b"2"]
    writes = []
    socket.transport.write = writes.append  # type: ignore[method-assign]
    socket.websocket.send(b"a")
    socket.websocket.send(b"b")
    await asyncio.sleep(0)
    assert writes == [b"\x81\x01a\x81\x01b"]


async def test_a_client_that_sends_more_than_is_taken_is_not_read() -> None:
    (socket,) = opened()
    while socket.transport.reading:
        socket.receive(text(b"x" * 1000))
    assert MAX_WAITING_BYTES < len(socket.websocket._parser.received) < MAX_WAITING_BYTES + 2000
    for _ in range(60):
        await socket.websocket.receive()
    assert not socket.transport.reading
    while socket.websocket._parser.received or socket.websocket._parser.messages:
        await socket.websocket.receive()
    assert socket.transport.reading


async def test_a_silent_client_gets_a_ping_and_then_loses_its_connection() -> None:
    (socket,) = opened()
    socket.websocket.expire()
    assert socket.transport.out == b"\x89\x00"
    assert socket.websocket.deadline > asyncio.get_running_loop().time() + PING_SECONDS - 1
    socket.receive(bytes(Frame(Opcode.PONG, b"").serialize(mask=True)))
    socket.websocket.expire()
    assert socket.transport.out == b"\x89\x00" * 2
    socket.websocket.expire()
    assert socket.transport.events == ["abort"]
    assert socket.refusals.reasons == [refusals.UNANSWERED_PING]


async def test_a_client_that_waits_for_an_answer_gets_no_ping() -> None:
    (socket,) = opened()
    socket.receive(text(b"1"))
    await socket.websocket.receive()
    for _ in range(3):
        socket.websocket.expire()
    assert (socket.transport.out, socket.transport.events) == (b"", [])


async def test_a_message_must_arrive_at_the_rate_of_a_body() -> None:
    (socket,) = opened(header_timeout_seconds=5, min_bytes_per_second=100)
    socket.receive(text(b"first"), text(b"x" * 10_000)[:1000])
    assert await socket.websocket.receive() == b"first"
    waiting = asyncio.create_task(socket.websocket.receive())
    await asyncio.sleep(0)
    left = socket.websocket.deadline - asyncio.get_running_loop().time()
    assert left == pytest.approx(5 + 1000 / 100, abs=1)
    socket.websocket.expire()
    with pytest.raises(DeadlineExceeded):
        await waiting
    assert await socket.websocket.receive() is None


async def test_incomplete_messages_share_the_memory_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_MESSAGE_BYTES", 400_000)
    sockets = opened(8)
    waiting = [asyncio.create_task(socket.websocket.receive()) for socket in sockets]
    for socket in sockets:
        for start in range(0, 200_000, 50_000):
            socket.receive(text(b"x" * 900_000)[start : start + 50_000])
            await asyncio.sleep(0.001)
    assert sockets[0].table.message_bytes.used <= 400_000
    refused = [task for task in waiting if task.done()]
    assert 0 < len(refused) < 8
    for task in refused:
        with pytest.raises(Overloaded):
            await task
    for socket, task in zip(sockets, waiting, strict=True):
        socket.websocket.connection_lost(None)
        await asyncio.gather(task, return_exceptions=True)
    assert sockets[0].table.message_bytes.used == 0
    assert len(sockets[0].table) == 0


async def test_frames_without_messages_are_read_slowly() -> None:
    (socket,) = opened()
    socket.receive(bytes(Frame(Opcode.PING, b"").serialize(mask=True)) * 2000, text(b"1"))
    started = asyncio.get_running_loop().time()
    assert await socket.websocket.receive() == b"1"
    assert asyncio.get_running_loop().time() - started > 0.1
    assert socket.transport.out == b"\x8a\x00" * 2000


async def test_a_client_that_does_not_read_is_not_read_and_then_disconnected() -> None:
    (socket,) = opened(write_timeout_seconds=3, min_bytes_per_second=10)
    socket.websocket.pause_writing()
    socket.receive(text(b"1"))
    waiting = asyncio.create_task(socket.websocket.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    socket.websocket.resume_writing()
    assert await waiting == b"1"
    socket.transport.unread = 1000
    assert socket.websocket.check_unread(0.0) == 1000
    assert socket.websocket.check_unread(4.0) == 0
    assert (socket.transport.events, socket.refusals.reasons) == (["abort"], [refusals.UNREAD])


async def test_an_idle_websocket_makes_room_and_a_busy_one_does_not() -> None:
    (socket,) = opened()
    later = asyncio.get_running_loop().time() + 6
    assert socket.websocket.may_be_evicted(later)
    socket.receive(text(b"1"))
    assert not socket.websocket.may_be_evicted(later)
    await socket.websocket.receive()
    assert not socket.websocket.may_be_evicted(later)
    socket.websocket.send(b"1")
    assert socket.websocket.may_be_evicted(later)
    await asyncio.sleep(0)
    socket.transport.out = b""
    socket.websocket.evict()
    assert socket.transport.out[2:] == Close(1013, "overloaded").serialize()
    assert socket.transport.events == ["close"]


async def test_a_draining_websocket_takes_no_further_message_and_tells_its_client() -> None:
    (socket,) = opened()
    socket.receive(text(b"1"), text(b"2"))
    assert await socket.websocket.receive() == b"1"
    socket.websocket.shutdown()
    assert await socket.websocket.receive() is None
    socket.websocket.send(b"a")
    socket.websocket.close()
    assert socket.transport.out == b"\x81\x01a" + bytes(
        Frame(Opcode.CLOSE, Close(1012, "shutting_down").serialize()).serialize(mask=False)
    )
    assert socket.transport.events == []
    socket.receive(bytes(Frame(Opcode.CLOSE, b"").serialize(mask=True)))
    assert socket.transport.events == ["close"]


async def test_a_client_that_does_not_answer_the_close_is_given_ten_seconds() -> None:
    (socket,) = opened()
    socket.websocket.close(4410, "session_expired")
    assert socket.websocket.deadline <= asyncio.get_running_loop().time() + 10
    socket.receive(text(b"late"))
    assert socket.transport.events == []
    socket.websocket.expire()
    assert socket.transport.events == ["close"]


async def test_a_websocket_that_is_closing_gives_its_place_away_if_it_is_needed() -> None:
    (socket,) = opened()
    socket.websocket.close(4410, "session_expired")
    now = asyncio.get_running_loop().time()
    assert not socket.websocket.may_be_evicted(now)
    assert socket.websocket.may_be_evicted(now + 6)
    socket.websocket.evict()
    assert socket.transport.events == ["close"]


async def test_what_arrives_behind_the_close_is_bounded() -> None:
    (socket,) = opened()
    socket.websocket.close(4410, "session_expired")
    for _ in range(20):
        socket.receive(b"\0" * 65_536)
    assert "close" in socket.transport.events


async def test_the_task_of_a_client_that_has_gone_is_cancelled() -> None:
    (socket,) = opened()
    task = asyncio.create_task(socket.websocket.receive())
    await asyncio.sleep(0)
    socket.websocket.connection_lost(None)
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    assert cancelled.value.args == (DEPARTED,)
    assert not socket.websocket.connected
    socket.websocket.send(b"to nobody")
    socket.websocket.close()
