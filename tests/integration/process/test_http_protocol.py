"""An answer's head goes out with its body, but never waits for a late one; many connections are taken up at a time."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from service.http.connection_refusals import ConnectionRefusals
from service.process.connections.limits import ConnectionLimits
from service.process.connections.listeners import ACCEPTS_PER_TURN, duplicate_listeners
from service.process.connections.protocol import PENDING_SECONDS, HttpProtocol
from service.process.connections.table import ConnectionTable
from service.process.connections.transport import CLOSE_SECONDS, MAX_DISCARDED_BYTES, HeadBufferingTransport
from tests.conftest import UVLOOP
from tests.fakes import CountingObserver

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"body"
START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


class Written(asyncio.Transport):
    """Keeps what is written, piece by piece, and `None` for the end."""

    def __init__(self) -> None:
        self.pieces: list[bytes | None] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.pieces.append(None)

    def is_closing(self) -> bool:
        return None in self.pieces


def heads_and_bodies(wire: HeadBufferingTransport) -> None:
    for _ in range(2):
        wire.write(HEAD)
        wire.write(BODY)


def a_body_in_parts(wire: HeadBufferingTransport) -> None:
    wire.write(HEAD)
    wire.write(BODY[:2])
    wire.write(BODY[2:])


def a_head_and_the_end(wire: HeadBufferingTransport) -> None:
    wire.write(HEAD)
    wire.close()


def a_head_and_the_client_gone(wire: HeadBufferingTransport) -> None:
    wire.write(HEAD)
    wire._transport.close()


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (heads_and_bodies, [HEAD + BODY, HEAD + BODY]),
        (a_body_in_parts, [HEAD + BODY[:2], BODY[2:]]),
        (a_head_and_the_end, [HEAD, None]),
        (a_head_and_the_client_gone, [None]),
        (lambda wire: wire.write(HEAD), [HEAD]),
        (lambda wire: wire.write(BODY), [BODY]),
    ],
)
async def test_what_is_written_in_one_turn_arrives_whole(
    write: Callable[[HeadBufferingTransport], None], expected: list[bytes | None]
) -> None:
    written = Written()
    transport = HeadBufferingTransport(written)
    write(transport)
    assert transport.is_closing() == (None in expected)
    await asyncio.sleep(0)
    assert written.pieces == expected


@contextlib.asynccontextmanager
async def connection_to(
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection to an application."""
    async with both_ends(app) as (_, reader, writer):
        yield reader, writer


@contextlib.asynccontextmanager
async def both_ends(
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
) -> AsyncIterator[tuple[HttpProtocol, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Both ends of a connection to an application."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    table, refusals = ConnectionTable(ConnectionLimits()), ConnectionRefusals(CountingObserver(), "off")
    protocol = HttpProtocol(config, ServerState(), {}, table=table, refusals=refusals)
    server = await asyncio.get_running_loop().create_server(lambda: protocol, "127.0.0.1", 0)
    async with server, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield protocol, reader, writer
        writer.close()
        protocol.transport.abort()


async def test_a_head_does_not_wait_for_a_body_that_takes_its_time() -> None:
    go_on = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(START)
        await go_on.wait()
        await send({"type": "http.response.body", "body": BODY})

    async with connection_to(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        go_on.set()
        assert await reader.readexactly(4) == BODY


async def test_many_requests_on_one_connection_are_answered_in_order_and_nonsense_ends_it() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async with connection_to(app) as (reader, writer):
        writer.write(b"".join(b"GET /%03d HTTP/1.1\r\nhost: x\r\n\r\n" % count for count in range(20)))
        for count in range(20):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4) == b"/%03d" % count
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


# Only the event loop of a worker raises where something is written to a connection that was closed.
@pytest.mark.parametrize("anyio_backend", [UVLOOP], ids=["uvloop"])
async def test_a_request_that_is_broken_is_answered_however_much_follows(anyio_backend: object) -> None:
    size, problems = 4 * MAX_DISCARDED_BYTES, list[Exception]()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.2)  # meanwhile more arrives than is dropped
        try:
            await send({**START, "status": 400})
            await send({"type": "http.response.body", "body": BODY})
        except Exception as error:
            problems.append(error)
            raise

    async with connection_to(app) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n" + b"x" * size)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
        assert await reader.readexactly(4) == BODY
        assert not problems


async def test_a_client_that_still_sends_has_ten_seconds_to_read_why_it_is_refused() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({**START, "status": 413, "headers": [*START["headers"], (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": BODY})

    async with both_ends(app) as (protocol, reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"x" * 1000)
        assert (await reader.read()).startswith(b"HTTP/1.1 413")
        now = asyncio.get_running_loop().time()
        assert now + PENDING_SECONDS < protocol.deadline <= now + CLOSE_SECONDS
        writer.write(b"x" * 1000)
        await writer.drain()
        since = protocol.deadline - CLOSE_SECONDS
        assert not protocol.may_be_evicted(since)
        assert protocol.may_be_evicted(since + PENDING_SECONDS)


class CountingProtocol(asyncio.Protocol):
    """Keeps the connections that were accepted."""

    def __init__(self, accepted: list[asyncio.BaseTransport]) -> None:
        self.accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.accepted.append(transport)


async def turns_to_accept(count: int) -> int:
    """Return how many turns of the event loop it takes to accept so many connections that wait."""
    loop, accepted = asyncio.get_running_loop(), list[asyncio.BaseTransport]()
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=count))
        for _ in range(count):
            stack.enter_context(socket.create_connection(listener.getsockname(), timeout=30))
        for handle in duplicate_listeners(listener):
            await stack.enter_async_context(await loop.create_server(lambda: CountingProtocol(accepted), sock=handle))
        turns = 0
        while len(accepted) < count:
            await asyncio.sleep(0)
            turns += 1
        for transport in accepted:
            transport.close()
        return turns


# The event loop of a worker; asyncio's own accepts as many connections as there are in one turn.
@pytest.mark.parametrize("anyio_backend", [UVLOOP], ids=["uvloop"])
async def test_connections_that_come_at_once_are_taken_up_many_a_turn() -> None:
    assert await turns_to_accept(12 * ACCEPTS_PER_TURN) < 2 * 12
