"""Messages of a WebSocket: frames of RFC 6455 are parsed to messages, and the service's own frames are made.

Whole text frames, which most messages are, are read here. The package websockets parses all others, answers pings and
keeps the state of the closing handshake.
"""

import logging
import struct
from collections import deque
from typing import cast

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from service.domain.errors import BodyTooLarge, UnrollError, UnsupportedMediaType

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform for which the package has no compiled part
    from websockets.utils import apply_mask

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
_MASK_BYTES = 4
_CONTROL = frozenset({Opcode.PING, Opcode.PONG, Opcode.CLOSE})


def text_frame(text: bytes) -> tuple[bytes, bytes]:
    """Return header and payload of the frame of a text message."""
    size = len(text)
    if size < 126:
        return _SHORT.pack(_TEXT, size), text
    if size < 65_536:
        return _MEDIUM.pack(_TEXT, 126, size), text
    return _LONG.pack(_TEXT, 127, size), text


def whole_text(data: bytearray, start: int, max_bytes: int) -> tuple[bytes, int] | None:
    """Return the payload of the client's text frame at `start`, and where the frame ends.

    None if there is another frame, or one that is incomplete, or longer than 64 KiB or than `max_bytes`.
    """
    if len(data) < start + 2 or data[start] != _TEXT:
        return None
    size, mask = data[start + 1] - 0x80, start + 2
    if size == 126:
        size, mask = int.from_bytes(data[mask : mask + 2], "big"), mask + 2
    elif not 0 <= size < 126:
        return None
    payload = mask + _MASK_BYTES
    end = payload + size
    if end > len(data) or size > max_bytes:
        return None
    return apply_mask(data[payload:end], data[mask:payload]), end


def _frame_size(frame: Frame) -> int:
    """Return the bytes of a client's frame, if its length was written as the standard has it."""
    size = len(frame.data)
    return _MASK_BYTES + size + (2 if size < 126 else 4 if size < 65_536 else 10)


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
        #: Bytes of the frame that the package has begun to parse: while there are none, a frame begins at `received`.
        self._begun_bytes = 0

    def parse_slice(self) -> list[bytes]:
        """Parse a slice of what was received, and return what is to be written for it."""
        if not self._begun_bytes and self._fragments is None and self._take_whole_texts():
            return []
        data = bytes(self.received[:MAX_SLICE_BYTES])
        del self.received[:MAX_SLICE_BYTES]
        connection = self._connection
        connection.receive_data(data)
        self._begun_bytes += len(data)
        for frame in connection.events_received():
            self._begun_bytes -= _frame_size(cast("Frame", frame))
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

    def _take_whole_texts(self) -> bool:
        """Deliver the whole text frames at the beginning of a slice; return whether there are any."""
        data, end = self.received, 0
        while end < MAX_SLICE_BYTES and (found := whole_text(data, end, self._max_bytes)) is not None:
            text, end = found
            self._deliver(Opcode.TEXT, text)
        del data[:end]
        return end > 0

    def _take(self, frame: Frame) -> None:
        self.idle_frames += 1
        if frame.opcode in _CONTROL:
            return
        if frame.opcode is not Opcode.CONT:
            self._opcode = frame.opcode
            if frame.fin:
                self._deliver(self._opcode, bytes(frame.data))
                return
            self._fragments = bytearray()
        assert self._fragments is not None  # noqa: S101 - the parser refuses other frames
        self._fragments += frame.data
        if frame.fin:
            fragments, self._fragments = bytes(self._fragments), None
            self._deliver(self._opcode, fragments)

    def _deliver(self, opcode: Opcode, data: bytes) -> None:
        self.idle_frames = max(0, self.idle_frames - IDLE_FRAMES_PER_MESSAGE)
        if opcode is Opcode.TEXT:
            self.messages.append(data)
        else:
            self.messages.append(UnsupportedMediaType("the frame is binary: expected text, JSON in UTF-8"))
