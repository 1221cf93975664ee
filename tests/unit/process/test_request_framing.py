"""However the bytes of a connection are cut, the same requests are answered, and nonsense ends it with an envelope."""

import asyncio
import itertools
import json
import random
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.application.limits.admission import Admission
from service.http.connection_refusals import ConnectionRefusals
from service.http.middleware.request import RequestMiddleware, RequestSettings
from service.process.connections.limits import ConnectionLimits
from service.process.connections.protocol import HttpProtocol
from service.process.connections.table import ConnectionTable
from tests.fakes import CountingObserver, ManualClock

LIMITS = ConnectionLimits(max_header_bytes=600, max_headers=20)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what arrived."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    seen = [scope["method"], scope["path"], body.decode("latin-1")]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


class MemoryTransport(asyncio.Transport):
    """A transport to a client that reads all at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name in {"peername", "sockname"} else default

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0


def connect(table: ConnectionTable, state: ServerState) -> tuple[HttpProtocol, MemoryTransport]:
    """Open a connection to the echo."""
    middleware = RequestMiddleware(echo, RequestSettings(1000, 30), Admission(8), CountingObserver(), ManualClock())
    config = uvicorn.Config(middleware, log_config=None, lifespan="off", ws="none")
    refusals = ConnectionRefusals(CountingObserver(), "off")
    protocol = HttpProtocol(config, state, {}, table=table, refusals=refusals)
    transport = MemoryTransport()
    protocol.connection_made(transport)
    return protocol, transport


async def converse(pieces: list[bytes]) -> tuple[bytes, bool]:
    """Send pieces on a connection; return what was answered, and whether the connection was closed."""
    table, state = ConnectionTable(LIMITS), ServerState()
    protocol, transport = connect(table, state)
    for piece in pieces:
        if transport.closed:
            break
        protocol.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(2000):
        if not state.tasks:
            break
        await asyncio.sleep(0)
    closed = transport.closed
    protocol.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.gather(*state.tasks)
    assert not len(table)
    assert table.pipelined_bytes == 0
    return transport.written, closed


def answers(written: bytes) -> list[tuple[int, Any]]:
    """Return status and JSON of the answers in what was written; all of it must be answers."""
    found = []
    while written:
        head, end, rest = written.partition(b"\r\n\r\n")
        assert end, head
        status = int(head.split()[1])
        if b"transfer-encoding: chunked" in head:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = rest[: int(size, 16)], rest[int(size, 16) :]
            assert rest.startswith(b"\r\n0\r\n\r\n")
            rest = rest[7:]
        else:
            size_at = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body, rest = rest[:size_at], rest[size_at:]
        found.append((status, json.loads(body)))
        written = rest
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


BODIES = st.binary(max_size=200) | st.sampled_from([b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n" * 3])
REQUESTS = st.tuples(st.sampled_from(["GET", "POST"]), st.sampled_from(["/a", "/b%20c", "/d?e=f", "/upgrade"]), BODIES)


def as_bytes(method: str, path: str, body: bytes) -> bytes:
    start = f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode()
    if method == "POST":
        return start + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return start + (b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" if path == "/upgrade" else b"\r\n")


@settings(max_examples=150, deadline=None)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=5), places=st.lists(st.integers(0, 2000), max_size=12))
def test_requests_are_answered_in_order_however_they_are_cut(
    requests: list[tuple[str, str, bytes]], places: list[int]
) -> None:
    data = b"".join(as_bytes(*request) for request in requests)
    written, closed = asyncio.run(converse(cut(data, places)))
    expected = [
        [method, path.partition("?")[0].replace("%20", " "), body.decode("latin-1") if method == "POST" else ""]
        for method, path, body in requests
    ]
    assert answers(written) == [(200, seen) for seen in expected]
    assert not closed


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(st.binary(min_size=1, max_size=60), max_size=8), places=st.lists(st.integers(0, 2000), max_size=12)
)
def test_chunks_are_read_however_they_are_cut(parts: list[bytes], places: list[int]) -> None:
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in parts)
    data = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"
    written, _ = asyncio.run(converse(cut(data, places)))
    assert answers(written) == [(200, ["POST", "/a", b"".join(parts).decode("latin-1")])]


async def test_a_body_of_many_chunks_is_read_in_parts_between_which_others_are_served() -> None:
    table, state = ConnectionTable(LIMITS), ServerState()
    protocol, transport = connect(table, state)
    other, other_transport = connect(table, state)
    head = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    protocol.data_received(head + b"1\r\nx\r\n" * 900)
    protocol.data_received(b"0\r\n\r\n")
    assert table.waiting_bodies == 1
    await asyncio.sleep(0)
    assert not transport.reading  # although the application asks for more
    other.data_received(as_bytes("GET", "/b", b""))
    async with asyncio.timeout(20):
        while not transport.written:  # noqa: ASYNC110 - the transport has no event
            await asyncio.sleep(0.001)
    assert answers(other_transport.written) == [(200, ["GET", "/b", ""])]
    assert answers(transport.written) == [(200, ["POST", "/a", "x" * 900])]
    assert table.waiting_bodies == table.pipelined_bytes == 0
    assert transport.reading
    for connection in (protocol, other):
        connection.connection_lost(None)
    await asyncio.gather(*state.tasks)


async def test_a_body_of_many_chunks_whose_client_leaves_does_not_go_on() -> None:
    table, state = ConnectionTable(LIMITS), ServerState()
    protocol, _ = connect(table, state)
    protocol.data_received(b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 900)
    protocol.connection_lost(None)
    async with asyncio.timeout(20):
        while table.waiting_bodies:  # noqa: ASYNC110 - the table has no event
            await asyncio.sleep(0.001)
    await asyncio.gather(*state.tasks)
    assert table.pipelined_bytes == 0


def mutated(source: random.Random) -> bytes:
    """Return requests with errors in them."""
    data = bytearray(
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
        b"GET /c HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\nExpect: 100-continue\r\n\r\n"
    )
    for _ in range(source.randrange(1, 6)):
        place = source.randrange(len(data))
        match source.randrange(4):
            case 0:
                data[place] = source.randrange(256)
            case 1:
                del data[place : place + source.randrange(1, 30)]
            case 2:
                data[place:place] = source.choice(
                    [b"\r\n", b"\0", b":", b"Content-Length: 7\r\n", b"x" * 700, b"A: b\r\n" * 30]
                )
            case _:
                data[place:place] = data[: source.randrange(60)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(20))
async def test_nonsense_is_answered_by_answers_alone(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(50):
        data = mutated(source)
        places = [source.randrange(len(data)) for _ in range(source.randrange(4))]
        written, closed = await converse(cut(data, places))
        statuses = [status for status, _ in answers(written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b""))]
        assert set(statuses) <= {200, 400, 413}, data
        assert all(status == 200 for status in statuses[:-1]) or closed, data
