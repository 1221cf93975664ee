"""WebSocket of a worker: a connection that HTTP has handed over, within bounds.

uvicorn's own protocols for WebSockets are not used. They read one message at a time, write each answer by a system call
of its own, and have none of the bounds of `protocol.py`.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from service.application.deadlines import DEPARTED
from service.domain.errors import DeadlineExceeded, Overloaded
from service.process.connections import refusals as refused
from service.process.connections.messages import MessageParser, text_frame
from service.process.connections.reading import ReadingProgress
from service.process.connections.refusals import Refusals
from service.process.connections.table import ConnectionTable, network_of
from service.process.connections.transport import CLOSE_SECONDS, MAX_DISCARDED_BYTES, HeadBufferingTransport

#: Bytes that may wait for the parser before the connection is not read any more.
MAX_WAITING_BYTES = 65_536
#: Bytes of an incomplete message that are not accounted: each connection may have so many.
FREE_BYTES = 65_536
#: Frames without a message, such as pings and empty fragments, that are parsed without a pause; and the pause for each
#: further one, for each connection that pauses.
MAX_IDLE_FRAMES = 64
PAUSE_SECONDS = 0.0001
#: Time without messages after which a connection may give its place to a new one.
IDLE_SECONDS = 5.0
#: Close codes: this worker stops; there is no room, try again later.
RESTART, TRY_AGAIN = 1012, 1013


class WebSocket(asyncio.Protocol):
    """An open WebSocket, which is a `Connection` of the table.

    One task receives its messages. It is cancelled with DEPARTED when the client has gone. Every message that it
    receives is answered by one `send`.
    """

    def __init__(self, table: ConnectionTable, refusals: Refusals, max_bytes: int, ping_seconds: float) -> None:
        self.client: tuple[str, int] | None = None
        self.spare = False
        self.deadline = math.inf
        self.reading = ReadingProgress(table.limits)
        self._transport: HeadBufferingTransport | None = None
        self._table = table
        self._limits = table.limits
        self._refusals = refusals
        self._ping_seconds = ping_seconds
        self._loop = asyncio.get_running_loop()
        self._parser = MessageParser(max_bytes)
        self._to_write: list[bytes] = []
        self._task: asyncio.Task[Any] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._unanswered = 0
        self._ended = False  # no message is received any more
        self._closing = False  # the closing frame was sent
        self._discarded = 0
        self._pinged = False
        self._received_at = 0.0
        self._incomplete_since: float | None = None
        self._accounted = 0  # bytes of an incomplete message
        self._reading_paused = self._writing_paused = False

    # connection

    def connect(
        self,
        transport: HeadBufferingTransport,
        client: tuple[str, int] | None,
        received: bytes,
        on_lost: Callable[["WebSocket"], None],
    ) -> None:
        """Take over a connection on which `received` has arrived behind the handshake."""
        self._transport, self.client, self._on_lost = transport, client, on_lost
        self.data_received(received)

    @property
    def connected(self) -> bool:
        """Whether there is a client."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._table.discard(self)
        self._on_lost(self)
        self._account(0)
        self._ended = self._closing = True
        self._transport = None
        self._to_write.clear()
        if self._task is not None:
            self._task.cancel(DEPARTED)

    def data_received(self, data: bytes) -> None:
        self._received_at = self._loop.time()
        self._pinged = False
        if self._closing:
            self._discard(data)
            return
        self.deadline = self._received_at + self._ping_seconds
        self._parser.received += data
        if len(self._parser.received) > MAX_WAITING_BYTES:
            self._pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    # messages

    async def receive(self) -> bytes | None:
        """Return the next text message, or None if no further one is received.

        Raises UnsupportedMediaType for a binary message, BodyTooLarge for a long one, DeadlineExceeded for a slow one,
        and Overloaded if there is no room for it. None is received behind the last three.
        """
        self._task = self._task or asyncio.current_task()
        parser = self._parser
        while not self._ended:
            if parser.messages:
                self._unanswered += 1
                message = parser.messages.popleft()
                if isinstance(message, bytes):
                    return message
                raise message
            if parser.finished:
                break
            if parser.received and not self._writing_paused:
                await self._parse()
            else:
                await self._wait()
        return None

    def send(self, text: bytes) -> None:
        """Send the answer to a message, together with the others of this turn of the event loop."""
        self._unanswered -= 1
        if self._transport is None or self._closing:
            return
        if not self._to_write:
            self._loop.call_soon(self._flush)
        self._to_write += text_frame(text)

    def end(self) -> None:
        """Receive no further message."""
        self._ended = True
        self._wake()

    # What was received is answered, then the client is told that this worker stops. uvicorn calls it so.
    shutdown = end

    def close(self, code: int = RESTART, reason: str = "shutting_down") -> None:
        """Begin the closing handshake, or do this side's part of it if the client has begun it."""
        if self._closing or self._transport is None:
            return
        self._flush()
        self._ended = self._closing = True
        self._write(self._parser.close(code, reason))
        self.deadline = self._loop.time() + CLOSE_SECONDS
        self._resume_reading()
        if self._parser.client_closed:
            self._transport.close()
        elif self._parser.finished:
            self._transport.write_eof()  # to close while the client sends could reset the connection
        elif self._parser.received:
            self._discard(bytes(self._parser.received))

    # bounds

    def expire(self) -> None:
        self.deadline = math.inf
        if self._transport is None or self._closing:
            self._close_now()
        elif self._incomplete_since is not None and not self._parser.received:
            self._incomplete_since = None
            self._refuse(DeadlineExceeded("a message takes too long to arrive: send it at once", applied="no"))
        elif self._pinged:
            self.abort(refused.UNANSWERED_PING)
        else:
            # A client that sends more than it may is not read, so that its pong is not seen.
            waits = self._reading_paused or self._unanswered
            self._pinged = not waits
            self._write([] if waits or self._ended else self._parser.ping())
            self.deadline = self._loop.time() + self._ping_seconds

    def resume(self) -> None:
        """Do nothing: only requests of HTTP wait for a turn of their own."""

    def may_be_evicted(self, now: float) -> bool:
        if self._closing:
            return now - (self.deadline - CLOSE_SECONDS) >= IDLE_SECONDS
        busy = self._unanswered or self._parser.messages or self._parser.received
        return not busy and now - self._received_at >= IDLE_SECONDS

    def evict(self) -> None:
        self.close(TRY_AGAIN, "overloaded")
        self._close_now()
        if self._task is not None:
            self._task.cancel(DEPARTED)

    def abort(self, reason: str) -> None:
        self._refusals.count(reason)
        self._ended = self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def check_unread(self, now: float) -> int:
        if self._transport is None:
            return 0
        unread: int = self._transport.get_write_buffer_size()
        self.reading.note(now, self._transport.written - unread, unread)
        if self.reading.is_too_slow(now):
            self.abort(refused.UNREAD)
            return 0
        return unread

    async def _parse(self) -> None:
        parser = self._parser
        idle_frames = parser.idle_frames
        if writes := parser.parse_slice():
            self._write(writes)
        if not parser.received:
            self._resume_reading()
        size = parser.incomplete_bytes
        if size:
            now = self._loop.time()
            self._incomplete_since = since = self._incomplete_since or now
            granted = self._limits.header_timeout_seconds + size / self._limits.min_bytes_per_second
            self.deadline = min(self.deadline, since + granted)
        else:
            self._incomplete_since = None
        if self._accounted or size > FREE_BYTES:
            self._account(max(0, size - FREE_BYTES))
        if parser.idle_frames > MAX_IDLE_FRAMES:
            await self._pause(parser.idle_frames - idle_frames)
            parser.idle_frames = MAX_IDLE_FRAMES

    async def _pause(self, frames: int) -> None:
        """Let others go on, after so many frames without a message. All connections that do so share their time."""
        self._table.pausing_websockets += 1
        try:
            await asyncio.sleep(PAUSE_SECONDS * frames * self._table.pausing_websockets)
        finally:
            self._table.pausing_websockets -= 1

    def _account(self, size: int) -> None:
        """Account the memory of an incomplete message, and refuse the message if there is none."""
        shares, client = self._table.message_bytes, str(network_of(self.client))
        if size > self._accounted and not shares.acquire(client, size - self._accounted):
            self._refuse(Overloaded("too many long messages are arriving: send this one again later", applied="no"))
            size = 0
        if size < self._accounted:
            shares.release(client, self._accounted - size)
        self._accounted = size

    def _refuse(self, error: DeadlineExceeded | Overloaded) -> None:
        self._parser.refuse(error)
        self._wake()

    def _discard(self, data: bytes) -> None:
        """Drop what arrives during the closing handshake, until the client has done its part."""
        self._discarded += len(data)
        if data:
            self._parser.discard(data)
        if self._discarded > MAX_DISCARDED_BYTES or self._parser.client_closed:
            self._close_now()

    # input and output

    async def _wait(self) -> None:
        """Wait for data, for the client to read, or for the end."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _flush(self) -> None:
        parts, self._to_write = self._to_write, []
        self._write(parts)

    def _write(self, parts: list[bytes]) -> None:
        if self._to_write:
            self._flush()
        if parts and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(parts))

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self.connected and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def _close_now(self) -> None:
        if self._transport is not None:
            self._transport.close()
