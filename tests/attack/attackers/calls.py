"""Attacks on the port for gRPC: frames, calls and messages that never end, mean nothing, or are answered unread."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from functools import cache, partial

from tests import http2
from tests.attack.attackers.base import Tally, Target
from tests.attack.attackers.sockets import Sockets, Streams, stop_reading
from tests.http2 import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RST_STREAM,
    Client,
    call,
    data,
    frame,
    message,
    settings,
)

#: Calls of one connection at a time, as many as the service takes.
CALLS = 128
#: Calls of a connection whose answers are not read; their requests fit into the first window.
_UNREAD = 32
PAUSE_SECONDS = 0.01
_LAST_STREAM = 2**31 - 1
_MIB = 2**20
_HEALTH = "/grpc.health.v1.Health/Watch"
_NOTICED = {http2.GOAWAY: "goaway", RST_STREAM: "reset"}


@cache
def _request() -> bytes:
    """A request for probabilities of 64 rows, whose answer has some megabytes."""
    from service.grpc.messages import message as message_class  # noqa: PLC0415 - only where gRPC is attacked

    request = message_class("ModelInferRequest")(model_name="next-word")
    request.inputs.add(name="TOKEN_IDS", datatype="INT64", shape=[64, 1])
    request.raw_input_contents.append(bytes(8 * 64))
    request.outputs.add(name="LOGITS")
    content: bytes = request.SerializeToString()
    return content


@cache
def _long() -> bytes:
    return message(bytes(50 * _MIB))


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(64 * _MIB), 1)


Piece = Callable[[Client, int, str], Awaitable[None]]


def _connect(streams: Streams, tally: Tally) -> Client:
    """Open a connection of HTTP/2, and count how its calls end."""

    def notice(kind: int, flags: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_STREAM:
            tally.labels["500 internal_error" if b"internal_error" in payload else "ended"] += 1
        elif kind in _NOTICED:
            tally.labels[_NOTICED[kind]] += 1

    streams[1].write(PREFACE + settings())
    return Client(*streams, notice)


async def _pour(
    streams: Streams, target: Target, tally: Tally, piece: Piece, start: bytes = b"", pause: float = 0.0
) -> None:
    """Send pieces one behind the other, each for the next stream of the connection, as fast as the service reads."""
    client = _connect(streams, tally)
    streams[1].write(start)
    reading = asyncio.create_task(client.read())
    try:
        for number in range(1, _LAST_STREAM, 2):
            if not tally.running() or reading.done():
                break
            await piece(client, number, target.key)
            await client.writer.drain()
            await asyncio.sleep(pause)
    finally:
        await _end(reading)


async def _hold(streams: Streams, target: Target, tally: Tally, piece: Piece, calls: int = CALLS) -> None:
    """Begin calls, and do no more."""
    client = _connect(streams, tally)
    tasks = [asyncio.create_task(client.read()), asyncio.create_task(tally.wait())]
    sending = [asyncio.create_task(piece(client, number, target.key)) for number in range(1, 2 * calls, 2)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(*tasks, *sending)


async def _end(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def rapid_resets(client: Client, number: int, key: str) -> None:
    """A call that is cancelled at once, which costs the client nothing."""
    client.writer.write(call(number, "ModelInfer", key) + frame(RST_STREAM, 0, number, (8).to_bytes(4, "big")))


async def long_message(client: Client, number: int, key: str) -> None:
    """A message of 50 MB, which is refused by its length."""
    client.writer.write(call(number, "ModelInfer", key))
    await client.send(number, _long(), ends=True)


async def bomb(client: Client, number: int, key: str) -> None:
    """A message that grows to 64 MB when it is inflated."""
    client.writer.write(call(number, "ModelInfer", key, grpc_encoding="gzip"))
    await client.send(number, message(_bomb(), compressed=True), ends=True)


async def no_message(client: Client, number: int, key: str) -> None:
    """A call whose message is no message."""
    client.writer.write(call(number, "ModelInfer", key))
    await client.send(number, message(b"\xff" * 64), ends=True)


async def endless_stream(client: Client, number: int, key: str) -> None:
    """One stream with requests for a model that there is not, without an end."""
    if number == 1:
        client.writer.write(call(1, "ModelStreamInfer", key))
    await client.send(1, message(b"\x0a\x07nothing") * 200)


async def work(client: Client, number: int, key: str) -> None:
    """A valid call with a long answer, without waiting for the one before it."""
    client.writer.write(call(number, "ModelInfer", key))
    await client.send(number, message(_request()), ends=True)


async def unread(streams: Streams, target: Target, tally: Tally) -> None:
    """Valid calls whose long answers are never read."""
    stop_reading(streams)
    streams[1].write(PREFACE + settings())
    for number in range(1, 2 * _UNREAD, 2):
        streams[1].write(call(number, "ModelInfer", target.key) + data(number, message(_request()), ends=True))
    await tally.wait()


async def once(streams: Streams, target: Target, tally: Tally) -> None:
    """One call for each connection."""
    await _hold(streams, target, Tally(tally.labels, until=time.monotonic() + 0.05), live, 1)


async def live(client: Client, number: int, key: str) -> None:
    client.writer.write(call(number, "ServerLive"))
    await client.send(number, message(b""), ends=True)


async def open_stream(client: Client, number: int, key: str) -> None:
    """A stream without a message."""
    client.writer.write(call(number, "ModelStreamInfer", key))


async def half_message(client: Client, number: int, key: str) -> None:
    """A call with most of a long message, whose rest never comes."""
    client.writer.write(call(number, "ModelInfer", key, grpc_timeout="600S"))
    await client.send(number, message(bytes(_MIB - 1000))[:-10_000])


async def watch(client: Client, number: int, key: str) -> None:
    """A call that watches the health of the service, which needs no key."""
    head = [(":method", "POST"), (":scheme", "http"), (":path", _HEALTH), ("content-type", "application/grpc")]
    client.writer.write(frame(HEADERS, END_HEADERS, number, http2.fields(head)))
    await client.send(number, message(b""), ends=True)


def _bytes(content: bytes) -> Piece:
    async def piece(client: Client, number: int, key: str) -> None:
        client.writer.write(content)

    return piece


async def silent(streams: Streams, target: Target, tally: Tally) -> None:
    """A connection that sends nothing."""
    while tally.running() and await streams[0].read(65_536):
        pass


#: The attacks whose calls are admitted and run, as requests are.
WORK = frozenset(
    {"grpc-calls", "grpc-no-messages", "grpc-endless-stream", "grpc-bombs", "grpc-half-messages", "grpc-unread"}
)


def calls() -> list[Sockets]:
    """Return all attacks of this kind."""
    head = frame(HEADERS, 0, 1, http2.fields([(":method", "POST")]))
    more = _bytes(frame(http2.CONTINUATION, 0, 1, http2.fields([("x-a", "a" * 8000)])))
    pings = _bytes(frame(http2.PING, payload=bytes(8)) * 500)
    updates = _bytes(settings(s4=1000) * 500)
    behaviours: dict[str, tuple[int, Callable[[Streams, Target, Tally], Awaitable[None]]]] = {
        "grpc-calls": (32, partial(_pour, piece=work, pause=0.002)),
        "grpc-no-messages": (32, partial(_pour, piece=no_message)),
        "grpc-endless-stream": (32, partial(_pour, piece=endless_stream)),
        "grpc-long-messages": (8, partial(_pour, piece=long_message)),
        "grpc-bombs": (8, partial(_pour, piece=bomb, pause=PAUSE_SECONDS)),
        "grpc-resets": (32, partial(_pour, piece=rapid_resets)),
        "grpc-endless-heads": (32, partial(_pour, piece=more, start=head)),
        "grpc-pings": (32, partial(_pour, piece=pings, pause=PAUSE_SECONDS)),
        "grpc-settings": (32, partial(_pour, piece=updates, pause=PAUSE_SECONDS)),
        "grpc-streams": (64, partial(_hold, piece=open_stream)),
        "grpc-half-messages": (8, partial(_hold, piece=half_message)),
        "grpc-watches": (64, partial(_hold, piece=watch)),
        "grpc-unread": (64, unread),
        "grpc-silence": (2000, silent),
        "grpc-idle": (2000, partial(_hold, piece=open_stream, calls=0)),
    }
    attacks = [
        Sockets(name, connections, behave, family="load" if name in WORK else "sockets", grpc=True)
        for name, (connections, behave) in behaviours.items()
    ]
    return [*attacks, Sockets("grpc-connections", 200, once, pause=0.0, grpc=True)]
