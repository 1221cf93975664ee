"""Connections are all closed, even where some of them fail to close."""

import asyncio
import gc
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import TimeoutError as RedisTimeoutError
from store_support import listen

from service.store import EmbeddedServer
from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node, Nodes
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.sentinels import Sentinels
from service.store.driver.url import StoreUrl
from tests.conftest import UVLOOP
from tests.deployments import Deployment, watched_by_sentinels

TIMEOUT = 2.0


class CountedConnection(Connection):
    """Connection that is counted while it is open."""

    open = 0

    async def connect(self) -> None:
        already = self.is_connected
        await super().connect()
        CountedConnection.open += not already

    async def disconnect(self, *arguments: object, **options: object) -> None:
        CountedConnection.open -= self.is_connected
        await super().disconnect(*arguments, **options)


class FailingConnection(CountedConnection):
    """Connection that closes too late, as one does whose server does not answer the end of TLS."""

    async def disconnect(self, *arguments: object, **options: object) -> None:
        await super().disconnect(*arguments, **options)
        raise RedisTimeoutError("Timed out closing connection")


@pytest.fixture
def counted() -> Iterator[type[CountedConnection]]:
    CountedConnection.open = 0
    yield CountedConnection
    CountedConnection.open = 0


async def ping(node: Node) -> None:
    assert await execute_pipeline(node, [("PING",)], asyncio.get_running_loop().time() + TIMEOUT) == [b"PONG"]


async def reset_at_ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the commands with which the driver begins, and reset the connection at a PING."""
    while b"PING" not in (received := await reader.read(4096)):
        writer.write(b"+OK\r\n" * received.count(b"*"))
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def unretrieved_errors() -> list[BaseException | None]:
    """Return the exceptions of futures that asyncio will report as never retrieved."""
    # Not by isinstance(), which asks objects of other libraries for their class.
    futures = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Future)]
    reported = [future for future in futures if getattr(future, "_log_traceback", False)]
    return [future.exception() for future in reported]


class KeepingConnection(Connection):
    """Connection whose streams stay alive, as those do that wait for the garbage collector."""

    writers: ClassVar[list[asyncio.StreamWriter | None]] = []

    async def connect(self) -> None:
        await super().connect()
        self.writers.append(self._writer)


async def test_the_error_of_a_connection_that_was_reset_is_retrieved() -> None:
    server = await asyncio.start_server(reset_at_ping, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    nodes = Nodes({"connection_class": KeepingConnection}, TIMEOUT, connections=1)
    (reply,) = await execute_pipeline(nodes.at("127.0.0.1", port), [("PING",)], asyncio.get_running_loop().time() + 2)
    assert isinstance(reply, ReplyLost)
    await asyncio.sleep(0.05)
    assert not [error for error in unretrieved_errors() if isinstance(error, OSError)]
    KeepingConnection.writers.clear()
    await nodes.aclose()
    server.close()


async def test_the_connections_to_all_servers_are_closed_when_one_fails_to_close(
    start_server: Callable[[str], EmbeddedServer], counted: type[CountedConnection]
) -> None:
    port = await listen(start_server("own"))
    nodes = Nodes({"connection_class": FailingConnection}, TIMEOUT, connections=4)
    for host in ("127.0.0.1", "localhost"):
        await ping(nodes.at(host, port))
    assert counted.open == 2
    with pytest.raises(RedisTimeoutError):
        await nodes.aclose()
    assert counted.open == 0


async def test_the_connections_to_the_sentinels_are_closed_when_one_to_the_master_fails_to_close(
    tmp_path_factory: pytest.TempPathFactory, counted: type[CountedConnection]
) -> None:
    with watched_by_sentinels(tmp_path_factory.mktemp("sentinels")) as deployment:
        sentinels = sentinels_with_failing_master(deployment)
        await ping(await sentinels.node(None, asyncio.get_running_loop().time() + TIMEOUT))
        assert counted.open > 1
        with pytest.raises(RedisTimeoutError):
            await sentinels.aclose()
        assert counted.open == 0


def sentinels_with_failing_master(deployment: Deployment) -> Sentinels:
    address = StoreUrl.parse(deployment.url)
    options = {**address.options, "connection_class": FailingConnection}
    sentinel_options = {**address.sentinel_options, "connection_class": CountedConnection}
    return Sentinels(replace(address, options=options, sentinel_options=sentinel_options), TIMEOUT, connections=4)


class ClosedUnixConnection(UnixDomainSocketConnection):
    """Connection that is closed between its set-up and the first command."""

    async def _connect(self) -> None:
        await super()._connect()
        assert self._writer is not None
        self._writer.transport.abort()


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False}), UVLOOP])
async def test_a_connection_that_is_closed_before_it_is_used_loses_the_reply(server: EmbeddedServer) -> None:
    nodes = Nodes({**StoreUrl.parse(server.url).options, "connection_class": ClosedUnixConnection}, TIMEOUT, 1)
    node = nodes.from_url(StoreUrl.parse(server.url))
    (reply,) = await execute_pipeline(node, [("PING",)], asyncio.get_running_loop().time() + TIMEOUT)
    assert isinstance(reply, ReplyLost)
    assert (reply.reason, reply.sent) == ("ConnectionError", False)
    await nodes.aclose()
