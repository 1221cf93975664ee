"""An answer's head goes out with its body, but never waits for a late one; many connections are taken up at a time."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
import uvloop
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from service.process.http_protocol import ACCEPTS_PER_TURN, HeadBufferingTransport, HttpProtocol, duplicate_listeners

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
    ("scene", "expected"),
    [
        (heads_and_bodies, [HEAD + BODY, HEAD + BODY]),
        (a_body_in_parts, [HEAD + BODY[:2], BODY[2:]]),
        (a_head_and_the_end, [HEAD, None]),
        (a_head_and_the_client_gone, [None]),
        (lambda wire: wire.write(HEAD), [HEAD]),
        (lambda wire: wire.write(BODY), [BODY]),
    ],
)
def test_what_is_written_in_one_turn_arrives_whole(
    scene: Callable[[HeadBufferingTransport], None], expected: list[bytes | None]
) -> None:
    async def run() -> Written:
        written = Written()
        wire = HeadBufferingTransport(written)
        scene(wire)
        assert wire.is_closing() == (None in expected)
        await asyncio.sleep(0)
        return written

    assert asyncio.run(run()).pieces == expected


def served(app: Callable[[Scope, Receive, Send], Awaitable[None]], talk: Callable[..., Awaitable[None]]) -> None:
    """Let `talk(reader, writer)` happen with an application behind a real connection."""

    async def run() -> None:
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        config.load()
        server = await asyncio.get_running_loop().create_server(
            lambda: HttpProtocol(config, ServerState(), {}), "127.0.0.1", 0
        )
        async with server, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await talk(reader, writer)
            writer.close()

    asyncio.run(run())


def test_a_head_does_not_wait_for_a_body_that_takes_its_time() -> None:
    go_on = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(START)
        await go_on.wait()
        await send({"type": "http.response.body", "body": BODY})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        go_on.set()
        assert await reader.readexactly(4) == BODY

    served(app, talk)


def test_many_requests_on_one_connection_are_answered_in_order_and_nonsense_ends_it() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(b"GET /%03d HTTP/1.1\r\nhost: x\r\n\r\n" % count for count in range(20)))
        for count in range(20):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4) == b"/%03d" % count
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")

    served(app, talk)


def test_connections_that_come_at_once_are_taken_up_many_a_turn() -> None:
    taken_up: list[asyncio.BaseTransport] = []

    class Counting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            taken_up.append(transport)

    async def turns_for(count: int) -> int:
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=count))
            for _ in range(count):
                stack.enter_context(socket.create_connection(listener.getsockname(), timeout=30))
            for handle in duplicate_listeners(listener):
                await stack.enter_async_context(await loop.create_server(Counting, sock=handle))
            turns = 0
            while len(taken_up) < count:
                await asyncio.sleep(0)
                turns += 1
            for transport in taken_up:
                transport.close()
            return turns

    # The same event loop as a worker's: asyncio's own takes up as many as there are.
    assert uvloop.run(turns_for(12 * ACCEPTS_PER_TURN)) < 2 * 12
