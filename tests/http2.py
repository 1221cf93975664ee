"""Frames of HTTP/2 and calls of gRPC as bytes, for clients that must also be able to send what no library sends."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
#: The longest payload that every receiver accepts.
MAX_FRAME = 16_384
METHOD = "/inference.GRPCInferenceService/"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(**values: int) -> bytes:
    """A frame of settings by number: `settings(s4=0)` leaves the answers no room."""
    entries = (int(name[1:]).to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values.items())
    return frame(SETTINGS, payload=b"".join(entries))


def fields(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Header fields, none of them compressed."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in pairs)


def _text(value: str) -> bytes:
    data, size = value.encode(), len(value.encode())
    if size < 127:
        return bytes([size]) + data
    rest, head = size - 127, bytearray([127])
    while rest >= 128:
        head.append(rest % 128 + 128)
        rest //= 128
    return bytes([*head, rest]) + data


def call(stream: int, method: str, key: str = "", **metadata: str) -> bytes:
    """The head of a call of the Open Inference Protocol; `stream` is odd and grows with each call of a connection."""
    head = {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD + method,
        ":authority": "127.0.0.1",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    named = {name.replace("_", "-"): value for name, value in metadata.items()}
    keyed = {"authorization": f"Bearer {key}"} if key else {}
    return frame(HEADERS, END_HEADERS, stream, fields((head | keyed | named).items()))


def message(content: bytes, *, compressed: bool = False) -> bytes:
    """A message of gRPC as the data of a stream has it."""
    return bytes([compressed]) + len(content).to_bytes(4, "big") + content


def data(stream: int, content: bytes, *, ends: bool = False) -> bytes:
    """Frames with the data of a stream."""
    pieces = [content[start : start + MAX_FRAME] for start in range(0, len(content), MAX_FRAME)] or [b""]
    flags = [0] * (len(pieces) - 1) + [END_STREAM if ends else 0]
    return b"".join(frame(DATA, flag, stream, piece) for flag, piece in zip(flags, pieces, strict=True))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """Return kind, flags, stream and payload of the next frame. Raises EOFError when the connection ends."""
    head = await reader.readexactly(9)
    payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
    return head[3], head[4], int.from_bytes(head[5:], "big"), payload


@dataclass(slots=True, eq=False)
class Client:
    """A connection that keeps to the windows of the service, reads its answers and answers its pings.

    `read` has to run while it sends. `notice` is told of each frame.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    notice: Callable[[int, int, bytes], None] = lambda kind, flags, payload: None
    _initial: int = 65_535
    _window: int = 65_535
    _windows: dict[int, int] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Read frames. Raises EOFError when the connection ends."""
        try:
            while True:
                self._take(*await read_frame(self.reader))
                self._changed.set()
        finally:
            self.writer.transport.abort()
            self._ended.add(0)
            self._changed.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.notice(kind, flags, payload)
        if kind == SETTINGS and not flags & ACK:
            for start in range(0, len(payload), 6):
                if int.from_bytes(payload[start : start + 2], "big") == INITIAL_WINDOW_SIZE:
                    self._resize(int.from_bytes(payload[start + 2 : start + 6], "big"))
            self.writer.write(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.writer.write(frame(PING, ACK, payload=payload))
        elif kind == DATA and payload:
            room = len(payload).to_bytes(4, "big")
            self.writer.write(frame(WINDOW_UPDATE, 0, 0, room) + frame(WINDOW_UPDATE, 0, stream, room))
        elif kind == WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big"))
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self._ended.add(stream)

    def _resize(self, size: int) -> None:
        for stream in self._windows:
            self._windows[stream] += size - self._initial
        self._initial = size

    def _widen(self, stream: int, size: int) -> None:
        if stream:
            self._windows[stream] = self._windows.get(stream, self._initial) + size
        else:
            self._window += size

    async def send(self, stream: int, content: bytes, *, ends: bool = False) -> None:
        """Send the data of a stream as far as its windows let it, and wait for more room; stop when the stream ends."""
        start = 0
        while start < len(content) and not self._ended & {0, stream}:
            room = min(self._window, self._windows.setdefault(stream, self._initial), MAX_FRAME)
            if room <= 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            piece = content[start : start + room]
            start += len(piece)
            self._window -= len(piece)
            self._windows[stream] -= len(piece)
            self.writer.write(frame(DATA, END_STREAM if ends and start == len(content) else 0, stream, piece))
            await self.writer.drain()
