"""TLS between a socket and the HTTP protocol: what holds of a connection without it holds with it."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from service.certificates import Certificate
from service.http.connection_refusals import ConnectionRefusals
from service.process.connections.limits import ConnectionLimits
from service.process.connections.protocol import HttpProtocol
from service.process.connections.table import ConnectionTable
from service.process.tls import over_tls
from tests.certificates import Certificates
from tests.conftest import UVLOOP
from tests.fakes import CountingObserver

pytestmark = [
    pytest.mark.parametrize("anyio_backend", [UVLOOP]),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl on the PATH"),
]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LONG = 3_000_000
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Certificates]:
    folder = tmp_path_factory.mktemp("pairs")
    return [Certificates.make(folder / str(number)) for number in range(2)]


@dataclass
class Listening:
    """A server on a free port, and what a client trusts."""

    port: int
    table: ConnectionTable
    observer: CountingObserver
    certificate: Certificate
    trust: ssl.SSLContext

    async def open(self, context: ssl.SSLContext | None = None, **options: int) -> Streams:
        """A connection of a client, through its handshake."""
        trust = context or self.trust
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=trust, server_hostname="localhost", **options)

    async def plain(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def listening(app: App, pair: Certificates, handshake_seconds: float = 20.0) -> AsyncIterator[Listening]:
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    observer = CountingObserver()
    table, refusals, state = ConnectionTable(ConnectionLimits()), ConnectionRefusals(observer, "off"), ServerState()
    certificate = Certificate(Path(pair.path("crt")), Path(pair.path("key")))
    protocol = partial(HttpProtocol, config, state, {}, table=table, refusals=refusals)
    connect = over_tls(protocol, certificate, refusals, handshake_seconds)
    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    trust = ssl.create_default_context(cafile=pair.path("ca.crt"))
    async with server, asyncio.timeout(30):
        port = server.sockets[0].getsockname()[1]
        yield Listening(port, table, observer, certificate, trust)
        for connection in list(table._connections):
            connection.abort("test")
        await until(lambda: not len(table))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.005)


async def head_of(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode()


async def close(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()


def start(status: int, length: int) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % length)]}


async def echo(_: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send(start(200, len(body)))
    await send({"type": "http.response.body", "body": body})


async def refuse(_: Scope, __: Receive, send: Send) -> None:
    await send(start(413, 4))
    await send({"type": "http.response.body", "body": b"long"})


async def test_long_bodies_and_answers_arrive_whole_and_the_scheme_is_https(pairs: list[Certificates]) -> None:
    schemes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        schemes.append(scope["scheme"])
        await echo(scope, receive, send)

    body = bytes(range(256)) * (LONG // 256)
    async with listening(app, pairs[0]) as server:
        reader, writer = await server.open()
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert (await head_of(reader)).startswith("HTTP/1.1 200")
            assert await reader.readexactly(len(body)) == body
        await close(writer)
    assert schemes == ["https", "https"]


async def test_requests_behind_one_another_are_answered_in_order(
    pairs: list[Certificates],
) -> None:
    async with listening(echo, pairs[0]) as server:
        reader, writer = await server.open()
        for number in range(50):
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n%02d" % number)
        for number in range(50):
            await head_of(reader)
            assert await reader.readexactly(2) == b"%02d" % number
        await close(writer)


async def test_a_client_that_still_sends_gets_its_answer_and_the_end(pairs: list[Certificates]) -> None:
    async with listening(refuse, pairs[0]) as server:
        reader, writer = await server.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n")
        assert (await head_of(reader)).startswith("HTTP/1.1 413")
        assert await reader.read() == b"long", "the service ends its side, and TLS says so"
        writer.write(b"x" * 500_000)
        await close(writer)


async def test_a_connection_counts_before_its_handshake_and_its_handshake_has_a_time(pairs: list[Certificates]) -> None:
    async with listening(echo, pairs[0], handshake_seconds=0.3) as server:
        reader, writer = await server.plain()
        await until(lambda: len(server.table) == 1)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await reader.read() == b""
        await until(lambda: len(server.table) == 0)
        await close(writer)
        assert server.observer.counts["shed tls_handshake"] == 1


async def test_a_request_without_tls_is_told_so(pairs: list[Certificates]) -> None:
    async with listening(echo, pairs[0]) as server:
        reader, writer = await server.plain()
        writer.write(GET)
        assert (await head_of(reader)).startswith("HTTP/1.1 400")
        assert b"https://" in await reader.read()
        assert server.observer.counts["shed tls_handshake"] == 1
        await close(writer)


async def test_what_a_client_does_not_read_is_known(pairs: list[Certificates]) -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(start(200, 4 * LONG))
        await send({"type": "http.response.body", "body": bytes(4 * LONG)})

    async with listening(app, pairs[0]) as server:
        _, writer = await server.open(limit=1024)
        writer.write(GET)
        await until(lambda: any(connection.check_unread(0) > LONG for connection in list(server.table._connections)))
        await close(writer)


async def test_the_end_of_a_clients_side_is_the_end_of_its_request(pairs: list[Certificates]) -> None:
    received: list[Message] = []

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        received.append(await receive())
        received.append(await receive())

    async with listening(app, pairs[0]) as server:
        _, writer = await server.open()
        writer.write(GET)
        await until(lambda: len(received) == 1)
        writer.close()
        await until(lambda: len(received) == 2)
    assert received[1]["type"] == "http.disconnect"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_versions_before_1_2_are_refused(pairs: list[Certificates]) -> None:
    old = ssl.create_default_context(cafile=pairs[0].path("ca.crt"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with listening(echo, pairs[0]) as server:
        with pytest.raises(ssl.SSLError):
            await server.open(old)


async def test_a_new_certificate_is_that_of_new_connections(pairs: list[Certificates], tmp_path: Path) -> None:
    for pair, name in zip(pairs, ("now", "next"), strict=True):
        (tmp_path / name).symlink_to(pair.folder)
    moving = Certificates(tmp_path / "now")
    async with listening(echo, moving) as server:
        reader, writer = await server.open()
        (tmp_path / "next").replace(tmp_path / "now")
        for _ in range(2):
            server.certificate.refresh()
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.open()
        others = await server.open(ssl.create_default_context(cafile=pairs[1].path("ca.crt")))
        for one, other in ((reader, writer), others):
            other.write(GET)
            assert (await head_of(one)).startswith("HTTP/1.1 200")
        await close(writer, others[1])
