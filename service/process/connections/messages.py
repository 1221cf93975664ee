"""Messages of a WebSocket: frames of RFC 6455 are parsed to messages, and the service's own frames are made.

The package websockets parses frames, answers pings and keeps the state of the closing handshake.
"""

import logging
import struct
from collections import deque
from typing import cast

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from service.domain.errors import BodyTooLarge, UnrollError, UnsupportedMediaType

log = logging.getLogger("unroll.websocket")
log.setLevel(logging.ERROR)  # the package logs every connection that ends

#: Bytes that are parsed at once. The parser takes some microseconds for a frame, however short that is.
MAX_SLICE_BYTES = 4096
#: Number of pings, fragments and the like that a message may have beside it.
IDLE_FRAMES_PER_MESSAGE = 16
#: Close code of a message that is too long.
TOO_LONG = 1009
#: Headers of text frames of up to 125 bytes, up to 64 KiB, and longer ones.
_SHORT, _MEDIUM, _LONG = struct.Struct(">BB"), struct.Struct(">BBH"), struct.Struct(">BBQ")
_TEXT = 0x80 | Opcode.TEXT
_CONTROL = frozenset({Opcode.PING, Opcode.PONG, Opcode.CLOSE})


def text_frame(text: bytes) -> tuple[bytes, bytes]:
    """Return header and payload of the frame of a text message."""
    size = len(text)
    if size < 126:
        return _SHORT.pack(_TEXT, size), text
    if size < 65_536:
        return _MEDIUM.pack(_TEXT, 126, size), text
    return _LONG.pack(_TEXT, 127, size), text


class MessageParser:
    """Parser of the messages of one client, in slices.

    Attributes:
        received: bytes that are not parsed yet.
        messages: text messages, and the refusals of others, in their order.
        finished: whether nothing more is parsed: the client has closed or has broken the protocol, or its last message
            was refused.
        farewell: what a client that has closed, or has broken the protocol, gets when its messages are answered.
        idle_frames: the number of frames beyond those that messages may have beside them, such as pings and fragments.
    """

    def __init__(self, max_bytes: int) -> None:
        self.received = bytearray()
        self.messages: deque[bytes | UnrollError] = deque()
        self.finished = False
        self.farewell: list[bytes] = []
        self.idle_frames = 0
        self._max_bytes = max_bytes
        self._connection = ServerProtocol(state=OPEN, max_size=max_bytes, logger=log)
        self._fragments: bytearray | None = None
        self._opcode = Opcode.TEXT

    def parse_slice(self) -> list[bytes]:
        """Parse a slice of what was received, and return what is to be written for it."""
        data = bytes(self.received[:MAX_SLICE_BYTES])
        del self.received[:MAX_SLICE_BYTES]
        connection = self._connection
        connection.receive_data(data)
        for frame in connection.events_received():
            self._take(cast("Frame", frame))
        writes = connection.data_to_send()
        if connection.state is OPEN:
            return writes
        if connection.parser_exc is not None and connection.close_sent and connection.close_sent.code == TOO_LONG:
            limit = f"{self._max_bytes} (UNROLL_MAX_BODY_BYTES)"
            self.messages.append(BodyTooLarge(f"the frame has more bytes than it may: expected at most {limit}"))
            writes = []
        self._finish(writes)
        return []

    @property
    def incomplete_bytes(self) -> int:
        """The number of bytes that have arrived of a message that is not complete."""
        return len(self._connection.reader.buffer) + (0 if self._fragments is None else len(self._fragments))

    def refuse(self, error: UnrollError) -> None:
        """Refuse the message that is arriving, behind those that have arrived. Nothing more is parsed."""
        if not self.finished:
            self._finish([])
            self._connection.reader.discard()
            self.messages.append(error)

    def ping(self) -> list[bytes]:
        """Return a ping."""
        self._connection.send_ping(b"")
        return self._connection.data_to_send()

    def close(self, code: int, reason: str) -> list[bytes]:
        """Return the frame that begins the closing handshake, or the farewell if there is one."""
        return self.farewell or [Frame(Opcode.CLOSE, Close(code, reason).serialize()).serialize(mask=False)]

    def discard(self, data: bytes) -> None:
        """Parse what arrives behind the closing frame only to find that of the client."""
        if self.finished or len(data) > MAX_SLICE_BYTES:
            self.finished = True  # to parse it would take long
        else:
            self._connection.receive_data(data)
            self._connection.events_received()

    @property
    def client_closed(self) -> bool:
        """Whether the client has sent its closing frame, behind which it sends nothing."""
        return self._connection.close_rcvd is not None

    def _finish(self, farewell: list[bytes]) -> None:
        self.finished = True
        self.farewell = farewell
        self._fragments = None
        self.received.clear()

    def _take(self, frame: Frame) -> None:
        self.idle_frames += 1
        if frame.opcode in _CONTROL:
            return
        if frame.opcode is not Opcode.CONT:
            self._opcode = frame.opcode
            if frame.fin:
                self._deliver(bytes(frame.data))
                return
            self._fragments = bytearray()
        assert self._fragments is not None  # noqa: S101 - the parser refuses other frames
        self._fragments += frame.data
        if frame.fin:
            fragments, self._fragments = bytes(self._fragments), None
            self._deliver(fragments)

    def _deliver(self, data: bytes) -> None:
        self.idle_frames = max(0, self.idle_frames - IDLE_FRAMES_PER_MESSAGE)
        if self._opcode is Opcode.TEXT:
            self.messages.append(data)
        else:
            self.messages.append(UnsupportedMediaType("the frame is binary: expected text, JSON in UTF-8"))
