"""Attacks by WebSockets: frames that never end, mean nothing, are never answered or whose answers are never read."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from functools import partial

from websockets.frames import Frame, Opcode

from tests.attack.attackers.base import Tally, Target, create_session
from tests.attack.attackers.sockets import Sockets, Streams, stop_reading

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
#: The attacks whose frames are read, or run, as requests are.
WORK = frozenset({"websocket-no-sessions", "websocket-long", "websocket-unread", "websocket-window"})
#: Frames that are sent at once.
MANY = 500
PAUSE_SECONDS = 0.01


def frame(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin).serialize(mask=True))


async def open_websocket(streams: Streams, target: Target, tally: Tally, path: str = "/v1/stream") -> bool:
    """Open a WebSocket, for many sessions by default, and count whether it was."""
    reader, writer = streams
    fields = {"Host": "127.0.0.1", "Authorization": f"Bearer {target.key}", **HANDSHAKE}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    status = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
    tally.labels[status] += 1
    return status == "101"


async def _discard(reader: asyncio.StreamReader, tally: Tally) -> None:
    """Read answers, and count those that nothing may be answered with."""
    while data := await reader.read(65_536):
        tally.labels["500 internal_error"] += data.count(b'"code":"internal_error"')


async def _pour(streams: Streams, target: Target, tally: Tally, data: bytes, *, read: bool = True) -> None:
    """Send frames as fast as the service reads them."""
    if not await open_websocket(streams, target, tally):
        return
    reading = None
    if read:
        reading = asyncio.create_task(_discard(streams[0], tally))
    else:
        stop_reading(streams)
    try:
        while tally.running() and (reading is None or not reading.done()):
            streams[1].write(data)
            await streams[1].drain()
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])


async def _trickle(streams: Streams, target: Target, tally: Tally, start: bytes, piece: bytes) -> None:
    """Send the beginning of a frame and then a byte a second, or nothing at all."""
    if not await open_websocket(streams, target, tally):
        return
    streams[1].write(start)
    while tally.running() and not streams[0].at_eof():
        streams[1].write(piece)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(streams[0].read(65_536), 1.0)


async def unread_steps(streams: Streams, target: Target, tally: Tally) -> None:
    """Steps whose answers are long and never read."""
    session = await create_session(target, tally)
    step = {"session_id": session, "input": {"text": "the"}, "options": {"top_k": 100}}
    await _pour(streams, target, tally, frame(json.dumps(step).encode()) * 20, read=False)


async def fleet(streams: Streams, target: Target, tally: Tally) -> None:
    """Steps of one session, far more than the window."""
    session = await create_session(target, tally)
    step = {"session_id": session, "input": {"text": "the"}}
    await _pour(streams, target, tally, frame(json.dumps(step).encode()) * MANY)


def websockets() -> list[Sockets]:
    """Return all attacks of this kind."""
    pours = {
        "websocket-pings": frame(b"", Opcode.PING) * MANY,
        "websocket-fragments": frame(b"", fin=False) + frame(b"", Opcode.CONT, fin=False) * MANY,
        "websocket-no-json": frame(b"[") * MANY,
        "websocket-no-sessions": b"".join(frame(b'{"session_id":"%d","input":{}}' % n) for n in range(MANY)),
        "websocket-long": frame(b" " * 900_000 + b"{}"),
    }
    half = frame(b"x" * 900_000)[:60_000]
    behaviours: dict[str, tuple[int, Callable[[Streams, Target, Tally], Awaitable[None]]]] = {
        **{name: (64, partial(_pour, data=data)) for name, data in pours.items()},
        "websocket-silent": (2000, partial(_trickle, start=b"", piece=b"")),
        "websocket-half-frames": (1000, partial(_trickle, start=half, piece=b"x")),
        "websocket-unread": (64, unread_steps),
        "websocket-window": (64, fleet),
    }
    return [
        Sockets(name, connections, behave, family="load" if name in WORK else "sockets")
        for name, (connections, behave) in behaviours.items()
    ]
