"""What a client of gRPC may hold: connections, streams, answers that it does not read, messages that do not come."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests import http2
from tests.http2 import END_STREAM, GOAWAY, HEADERS, PREFACE, call, data, frame, message, read_frame, settings
from tests.server import Server, short_folder, tiny_models

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
messages = pytest.importorskip("service.grpc.messages", reason="grpcio is not installed")

MAX_CONNECTIONS = 4
STREAMS = 4  # the longest messages that there is room for
LATE = 3  # of these, one client leaves some room to others
MIB = 2**20
LIMITS = {
    "max_connections_per_address": MAX_CONNECTIONS,
    "write_timeout_seconds": 0.5,
    "max_body_bytes": MIB,
    "max_pending_bytes": 4 * MIB,
}
OTHER_ADDRESS = "127.0.0.2"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def bounded() -> Iterator[Server]:
    with (
        short_folder() as folder,
        Server(folder, models=tiny_models(folder / "models"), grpc_port=0, **LIMITS) as running,
    ):
        yield running


def request(token: int = 1) -> bytes:
    made = messages.message("ModelInferRequest")(model_name="tiny")
    made.inputs.add(name="TOKEN_IDS", datatype="INT64", shape=[1, 1])
    made.raw_input_contents.append(struct.pack("<q", token))
    content: bytes = made.SerializeToString()
    return content


@asynccontextmanager
async def connected(server: Server, *, source: str | None = None, window: int = 65_535) -> AsyncIterator[Connection]:
    host, port = server.grpc_address.split(":")
    local = None if source is None else (source, 0)
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=local)
    writer.write(PREFACE + settings(s4=window))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ended_streams(reader: asyncio.StreamReader, count: int, seconds: float) -> set[int]:
    """The streams that the service ends, until it has ended so many, or the time is over."""
    ended = set[int]()
    try:
        async with asyncio.timeout(seconds):
            while len(ended) < count:
                kind, flags, stream, _ = await read_frame(reader)
                if kind == HEADERS and flags & END_STREAM:
                    ended.add(stream)
    except TimeoutError:
        pass
    return ended


async def is_served(server: Server) -> None:
    """A client at another address gets its answer."""
    async with connected(server, source=OTHER_ADDRESS) as (reader, writer):
        writer.write(call(1, "ModelInfer") + data(1, message(request()), ends=True))
        assert await ended_streams(reader, 1, 20) == {1}


async def test_an_address_has_so_many_connections_and_those_with_calls_last(bounded: Server) -> None:
    async with connected(bounded) as (reader, writer):
        writer.write(call(1, "ModelStreamInfer") + data(1, message(request())))
        await _data_of(reader)
        idle = [connected(bounded) for _ in range(3 * MAX_CONNECTIONS)]
        closing = [asyncio.create_task(_closed(one)) for one in idle]
        done, rest = await asyncio.wait(closing, timeout=5)
        assert len(rest) == MAX_CONNECTIONS - 1, len(done)
        writer.write(data(1, message(request(2))))
        await _data_of(reader)
        await is_served(bounded)
        for task in rest:
            task.cancel()
        await asyncio.wait(rest)


async def _closed(connection: Any) -> None:
    async with connection as (reader, _):
        while await reader.read(65_536):
            pass


async def _data_of(reader: asyncio.StreamReader) -> None:
    """Wait for an answer."""
    async with asyncio.timeout(20):
        while (await read_frame(reader))[0] != http2.DATA:
            pass


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
async def test_the_connection_of_a_client_that_does_not_read_is_closed(bounded: Server, method: str) -> None:
    async with connected(bounded, window=0) as (reader, writer):
        writer.write(call(1, method) + data(1, message(request()), ends=method == "ModelInfer"))
        async with asyncio.timeout(20):
            await _until_closed(reader)
    await is_served(bounded)
    lines = [line for line in bounded.log.splitlines() if f"/{method}" in line and "deadline_exceeded" in line]
    assert len(lines) == 1


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def test_a_path_that_is_not_in_utf8_is_no_harm_to_others(bounded: Server) -> None:
    async with connected(bounded) as (_, writer):
        for stream in (1, 3, 5):
            writer.write(call(stream, "Model__").replace(b"Model__", b"Model\xff\xfe"))
        await is_served(bounded)
    await is_served(bounded)


async def test_nothing_that_a_hostile_client_sends_is_logged(bounded: Server) -> None:
    secret, before = "sk_almost_the_key", len(bounded.log)
    farewell = struct.pack(">II", 0, 2**32 - 1) + b"\nforged \xd9 line"
    for last in (b"", frame(GOAWAY, payload=farewell)):
        async with connected(bounded) as (_, writer):
            bad = call(1, "ModelInfer", f"{secret}__", grpc_timeout="soon").replace(b"y__", b"y\xff\xfe")
            path = call(3, "Model__").replace(b"Model__", b"Model\xff\xfe")
            writer.write(bad + path + last)
            await writer.drain()
            await is_served(bounded)
    log = bounded.log[before:]
    assert secret not in log
    assert all(json.loads(line)["level"] == "info" for line in log.splitlines())


async def test_messages_that_do_not_come_are_counted_as_the_longest_one(bounded: Server) -> None:
    async with connected(bounded) as (reader, writer):
        begun = message(bytes(MIB))[:1000]
        writer.write(b"".join(call(stream, "ModelInfer") + data(stream, begun) for stream in range(1, 17, 2)))
        ended = await ended_streams(reader, 8, 3)
        assert len(ended) == 8 - LATE
        await is_served(bounded)
        # Their memory is given back.
    async with connected(bounded) as (reader, writer):
        writer.write(call(1, "ModelInfer") + data(1, message(request()), ends=True))
        assert await ended_streams(reader, 1, 20) == {1}


async def test_streams_are_as_many_as_their_messages_have_room(bounded: Server) -> None:
    async with connected(bounded) as (reader, writer):
        writer.write(b"".join(call(stream, "ModelStreamInfer") for stream in range(1, 17, 2)))
        assert len(await ended_streams(reader, 8, 3)) == 8 - STREAMS
        await is_served(bounded)
