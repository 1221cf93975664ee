"""Attacks below the level of requests: heads, bodies and answers that never end, never come or are never read."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.attack.attackers.base import FAILURES, Tally, Target
from tests.attack.attackers.load import FORECAST, PREDICT
from tests.attack.wire import pack, pack_head, read_response

_CHUNK = 65_536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Behaviour = Callable[[Streams, Target, Tally], Awaitable[None]]


@dataclass(frozen=True)
class Sockets:
    """So many connections at once that each behave in one way; one that is closed is opened again after a moment.

    With `grpc` they are connections to the port for gRPC.
    """

    name: str
    connections: int
    behave: Behaviour
    pause: float = 0.5
    family: str = "sockets"
    grpc: bool = False

    async def run(self, target: Target, tally: Tally) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(target.scaled(self.connections)):
                group.create_task(self._keep_open(target, tally))

    async def _keep_open(self, target: Target, tally: Tally) -> None:
        while tally.running():
            try:
                streams = await target.connect(target.grpc_port if self.grpc else None)
            except OSError as error:
                tally.fail(error)
                await asyncio.sleep(self.pause)
                continue
            tally.labels["opened"] += 1
            try:
                await self.behave(streams, target, tally)
            except FAILURES as error:
                tally.fail(error)
            finally:
                streams[1].transport.abort()
            await asyncio.sleep(self.pause)


async def _await_answer(streams: Streams, tally: Tally, seconds: float = 3600.0) -> None:
    """Count what the service sends before it closes; raises when it closes without a response."""
    async with asyncio.timeout(seconds):
        tally.note(await read_response(streams[0]))


async def _pour(streams: Streams, tally: Tally, start: bytes, piece: bytes) -> None:
    """Send `start` and then pieces as fast as the service reads them."""
    reading = asyncio.create_task(_await_answer(streams, tally))
    try:
        streams[1].write(start)
        while tally.running() and not reading.done():
            streams[1].write(piece)
            await streams[1].drain()
            await asyncio.sleep(0)
    finally:
        await _ended(reading)


async def _trickle(streams: Streams, tally: Tally, start: bytes, piece: bytes, pause: float = 1.0) -> None:
    """Send `start` and then a piece every second."""
    reading = asyncio.create_task(_await_answer(streams, tally))
    try:
        streams[1].write(start)
        while tally.running() and not reading.done():
            await asyncio.wait([reading], timeout=pause)
            streams[1].write(piece)
    finally:
        await _ended(reading)


async def _ended(reading: "asyncio.Task[None]") -> None:
    reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled():
        reading.result()


async def endless_value(streams: Streams, target: Target, tally: Tally) -> None:
    """A header whose value never ends."""
    await _pour(streams, tally, b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: ", b"a" * _CHUNK)


async def endless_lines(streams: Streams, target: Target, tally: Tally) -> None:
    """Header lines without an end."""
    await _pour(streams, tally, b"GET /v1/models HTTP/1.1\r\n", b"X-A: aaaaaaaaaaaaaaaaaaaaaa\r\n" * 2048)


async def endless_target(streams: Streams, target: Target, tally: Tally) -> None:
    """A request line whose path never ends."""
    await _pour(streams, tally, b"GET /v1/", b"a" * _CHUNK)


async def endless_trailers(streams: Streams, target: Target, tally: Tally) -> None:
    """Trailers behind a chunked body, without an end."""
    head = pack_head(
        "POST", PREDICT, None, target.key, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    )
    await _pour(streams, tally, head + b"2\r\n{}\r\n0\r\n", b"X-A: aaaaaaaaaaaaaaaaaaaaaa\r\n" * 2048)


async def half_head(streams: Streams, target: Target, tally: Tally) -> None:
    """Half of a head, then one byte a second."""
    await _trickle(streams, tally, b"GET /v1/models HTTP/1.1\r\nX-A: ", b"a")


async def silent(streams: Streams, target: Target, tally: Tally) -> None:
    """A connection that sends nothing."""
    await _trickle(streams, tally, b"", b"")


async def unfinished_body(streams: Streams, target: Target, tally: Tally) -> None:
    """A request with a long timeout whose body never comes."""
    head = pack_head("POST", PREDICT, 100, target.key, {"X-Request-Timeout-Ms": "600000"})
    await _trickle(streams, tally, head + b"{", b"")


async def slow_body(streams: Streams, target: Target, tally: Tally) -> None:
    """A large body that comes by one byte a second."""
    head = pack_head("POST", PREDICT, 1_000_000, target.key, {"X-Request-Timeout-Ms": "600000"})
    await _trickle(streams, tally, head + b'{"input":{"text":"', b"a")


async def slow_chunks(streams: Streams, target: Target, tally: Tally) -> None:
    """A chunked body of one byte per chunk, as fast as it is read."""
    fields = {"Transfer-Encoding": "chunked", "Content-Type": "application/json", "X-Request-Timeout-Ms": "600000"}
    await _pour(streams, tally, pack_head("POST", PREDICT, None, target.key, fields), b"1\r\n \r\n" * 512)


async def unread_answer(streams: Streams, target: Target, tally: Tally) -> None:
    """A request with an answer of some megabytes that is never read."""
    await _leave_unread(streams, target, tally, 64)


async def unread_large_answer(streams: Streams, target: Target, tally: Tally) -> None:
    """A request with the largest answer that there is, never read."""
    await _leave_unread(streams, target, tally, 1024)


async def _leave_unread(streams: Streams, target: Target, tally: Tally, inputs: int) -> None:
    stop_reading(streams)
    series = {"values": [9000], "timestamps": {"start": "2015-01-05T00:00:00Z", "step_seconds": 1800}}
    quantiles = [round(number / 100, 2) for number in range(1, 100)]
    body = {"inputs": [series] * inputs, "options": {"quantiles": quantiles}}
    streams[1].write(pack("POST", FORECAST, body, target.key, {"X-Request-Timeout-Ms": "600000"}))
    await tally.wait()


async def pipelined(streams: Streams, target: Target, tally: Tally) -> None:
    """Requests one behind the other without reading one answer."""
    stop_reading(streams)
    request = pack("GET", "/openapi.json", None, target.key) * 16
    while tally.running():
        streams[1].write(request)
        await streams[1].drain()
        await asyncio.sleep(0.01)


async def once(streams: Streams, target: Target, tally: Tally) -> None:
    """One request for each connection."""
    streams[1].write(pack("GET", "/v1/models", None, target.key, {"Connection": "close"}))
    await _await_answer(streams, tally, 10.0)


def stop_reading(streams: Streams) -> None:
    """Stop reading, with the smallest buffer that the kernel allows."""
    streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    streams[1].transport.pause_reading()  # type: ignore[attr-defined]


def sockets() -> list[Sockets]:
    """The attacks on connections; those of 2,000 are the ones that the figures of the issue name."""
    return [
        Sockets("header-value", 8, endless_value),
        Sockets("header-lines", 8, endless_lines),
        Sockets("request-line", 8, endless_target),
        Sockets("trailers", 8, endless_trailers),
        Sockets("half-heads", 2000, half_head),
        Sockets("silence", 2000, silent),
        Sockets("unfinished-bodies", 2000, unfinished_body),
        Sockets("slow-bodies", 500, slow_body),
        Sockets("slow-chunks", 8, slow_chunks),
        Sockets("unread-answers", 2000, unread_answer),
        Sockets("unread-large", 16, unread_large_answer),
        Sockets("pipelining", 32, pipelined),
        Sockets("connections", 200, once, pause=0.0, family="load"),
    ]
