"""HTTP protocol of a worker: uvicorn's, within bounds that hold before a request reaches the application.

uvicorn bounds neither the head of a request nor its time, parses all requests that a connection has sent at once, and
serves a client that does not read its answers. Here the parser gets one request at a time, and the table of
connections compares deadlines with the clock, so that no request needs a timer, a task or a future for its bounds.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.process.connections import refusals as refused
from service.process.connections.chunk_pace import ChunkPace, PacedFlow
from service.process.connections.framing import FRAMING_PER_BYTE, HEAD_END, VERSIONS, has_one_head
from service.process.connections.handshake import EXTENSION, Handshake, accept_value
from service.process.connections.headers import content_length
from service.process.connections.reading import ReadingProgress
from service.process.connections.refusals import Refusals, Refused
from service.process.connections.table import MAX_PIPELINED_BYTES, ConnectionTable
from service.process.connections.transport import CLOSE_SECONDS, MAX_DISCARDED_BYTES, HeadBufferingTransport
from service.process.connections.websocket import WebSocket

#: Paths that are served also on spare connections.
HEALTH_PREFIXES = (b"/health/", b"/v2/health/")
#: Time that a spare connection has for its request.
SPARE_SECONDS = 2.0
#: Time after which a connection may give its place to a new one: that was used, and that has never sent a request.
IDLE_SECONDS = 5.0
PENDING_SECONDS = 1.0


class HttpProtocol(HttpToolsProtocol):
    """HTTP protocol of one connection, which is a `Connection` of the table."""

    transport: HeadBufferingTransport  # type: ignore[assignment]  # it wraps the one that asyncio hands over

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        table: ConnectionTable,
        refusals: Refusals,
        websockets: Callable[[], WebSocket] | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.deadline = math.inf
        self.spare = False
        self.reading = ReadingProgress(table.limits)
        self.url = b""
        self.headers = []
        self._table = table
        self._limits = table.limits
        self._refusals = refusals
        self._websockets = websockets
        self._successor: WebSocket | None = None
        self._in_head = True  # the head of the next request is not complete
        self._overhead = 0  # bytes of it, or of the framing of a chunked body
        self._body_bytes = 0  # bytes of the body that were received
        self._pipelined = b""  # received behind a request in progress
        self._busy = False  # a request is in progress and was received whole: what follows waits
        self._held = False  # so does the rest of this one: its answer is not read
        self._discards = False  # what the client still sends is dropped
        self._discarded = 0  # bytes of that, of one request
        self._pace = ChunkPace(self.loop, table, self._read_on)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(cast("asyncio.Transport", HeadBufferingTransport(transport, self._client_sends)))
        self.flow = PacedFlow(cast("asyncio.Transport", self.transport), self._pace)
        self._table.add(self)
        self.deadline = self.loop.time() + (SPARE_SECONDS if self.spare else self._limits.keep_alive_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.discard(self)
        self._take_pipelined()
        self._discards = True
        super().connection_lost(exc)
        self.transport.client_sends = bool  # each has a reference to the other

    def data_received(self, data: bytes) -> None:
        if self._busy or self._discards or self._pace.waits:
            self._hold(data)
        elif self._in_head and not self._overhead and has_one_head(data, self._limits.max_header_bytes):
            self._parse_whole(data)
        else:
            self._parse(data)

    def _parse_whole(self, data: bytes) -> None:
        """Feed data to the parser at once."""
        try:
            self._feed(data)
        except (httptools.HttpParserError, Refused) as error:
            self._refuse(error)
        if self._busy and self.scope is not self.cycle.scope:
            self._overhead = 1  # the next head has begun

    def _parse(self, data: bytes) -> None:
        """Feed data to the parser, not beyond the end of a request."""
        start, size, self._pace.count = 0, len(data), 0
        try:
            while start < size and not (self._busy or self._discards):
                end = self._slice_end(data, start)
                self._feed(memoryview(data)[start:end])
                start = end
                if start < size and self._pace.must_wait():
                    self.flow.pause_reading()
                    break
        except (httptools.HttpParserError, Refused) as error:
            self._refuse(error)
        if start < size:
            self._hold(data[start:])

    def _slice_end(self, data: bytes, start: int) -> int:
        """Return the end of the next slice for the parser. No request ends within a slice, but one with chunks."""
        if not self._in_head and (length := content_length(self.cycle.scope["headers"])) is not None:
            return min(start + length - self._body_bytes, len(data))
        end = min(start + self._limits.max_header_bytes + 1 - self._overhead, len(data))
        if not self._in_head:
            return self._pace.slice_end(start, end)
        if self._overhead and start < len(HEAD_END) - 1:
            return start + 1  # the end of the head may have begun in what was received before
        found = data.find(HEAD_END, max(0, start - len(HEAD_END) + 1), end)
        return end if found < 0 else found + len(HEAD_END)

    def _read_on(self) -> None:
        """Read the rest of what was received of a body, after its wait."""
        if not (self._busy or self._discards or self.transport.is_closing()):
            self.flow.resume_reading()
            self._parse(self._take_pipelined())

    def _feed(self, data: bytes | memoryview) -> None:
        """Feed a slice to the parser. Raises Refused, and HttpParserError."""
        begins = self._in_head and not self._overhead
        self._overhead += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # HTTP/1.1 lets a server answer without it
            self._hold(bytes(data[upgrade.args[0] :]))
        if self._overhead:
            self._check_overhead()
            if begins and not self.spare:
                self.deadline = self.loop.time() + self._limits.header_timeout_seconds

    def _check_overhead(self) -> None:
        limits = self._limits
        if self._overhead > limits.max_header_bytes:
            raise refused.header_bytes(limits.max_header_bytes) if self._in_head else refused.framing()
        if len(self.headers) > limits.max_headers:
            raise refused.header_lines(limits.max_headers) if self._in_head else refused.framing()

    def on_headers_complete(self) -> None:
        if self._busy:  # the slice went on behind a body with chunks
            raise refused.behind_chunks()
        self._check_overhead()
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise refused.version(version)
        if self.parser.should_upgrade() and content_length(self.headers) != 0:
            raise refused.upgrade()
        if self.spare and not self.url.startswith(HEALTH_PREFIXES):
            raise refused.connections()
        super().on_headers_complete()
        if self._websockets is not None and self.parser.should_upgrade():
            self._offer_websocket(self._websockets)
        self.headers = []  # what follows are trailers, which are no headers
        self._in_head = False
        self._overhead = self._body_bytes = self._discarded = 0
        self._pace.reset()
        self.deadline = math.inf
        if self.spare:
            self.cycle.keep_alive = False

    def _offer_websocket(self, websockets: Callable[[], WebSocket]) -> None:
        """Let the application answer a handshake with status 101, after which a WebSocket has the connection."""
        accept = accept_value(self.cycle.scope["method"], self.cycle.scope["headers"])  # type: ignore[arg-type]
        if accept is not None:
            handshake = Handshake(accept, websockets(), self._hand_over)
            self.cycle.scope["extensions"] = {EXTENSION: cast("dict[object, object]", handshake)}

    def _hand_over(self, websocket: WebSocket) -> None:
        """Hand the connection over to a WebSocket when the response, which has no body, is written."""
        self._successor = websocket
        self.cycle.chunked_encoding = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += (size := len(body))
        self._pace.count += 1
        if self._overhead:
            self._overhead = max(0, self._overhead - (1 + FRAMING_PER_BYTE) * size)
        if self.cycle.response_complete:
            self._discard(size)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._overhead = True, 0
        if self.cycle.response_complete:
            self.deadline = self.loop.time() + self._limits.keep_alive_seconds
        else:
            self._busy = True

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._successor is not None:
            self._switch(self._successor)
        elif self.flow.write_paused:
            self._busy = self._held = True
        elif not self.transport.is_closing():
            self._continue()

    def _switch(self, websocket: WebSocket) -> None:
        self._successor = None
        if self.transport.is_closing():
            return
        self._table.replace(self, websocket)
        self.connections.discard(self)
        self.connections.add(websocket)  # type: ignore[arg-type]  # uvicorn only shuts it down
        self.transport.client_sends = bool
        self.transport.set_protocol(websocket)
        self.flow.resume_reading()
        if self.flow.write_paused:
            websocket.pause_writing()
        websocket.connect(self.transport, self.client, self._take_pipelined(), self.connections.discard)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._held and not self.transport.is_closing():
            self._held = False
            self._continue()

    def _continue(self) -> None:
        """Receive the next request after an answer; or the rest of one whose answer did not need its body."""
        limits = self._limits
        idle = self._in_head and not self._overhead
        self.deadline = self.loop.time() + (limits.keep_alive_seconds if idle else limits.header_timeout_seconds)
        self.flow.resume_reading()
        self._busy = bool(self._pipelined) and not self._pace.waits
        if self._busy:
            self._table.resume_soon(self)

    def resume(self) -> None:
        if not self.transport.is_closing():
            self._busy = False
            self._parse(self._take_pipelined())

    def _hold(self, data: bytes) -> None:
        """Keep what was received behind a request in progress."""
        if self._discards:
            self._discard(len(data))
            return
        self._pipelined += data
        self._table.pipelined_bytes += len(data)
        if len(self._pipelined) > self._limits.max_header_bytes:
            self.flow.pause_reading()
        if self._table.pipelined_bytes > MAX_PIPELINED_BYTES:
            self.abort(refused.PIPELINED)

    def _discard(self, size: int) -> None:
        """Note that so many bytes of the client are dropped, and stop reading if they are too many."""
        self._discarded += size
        if self._discarded > MAX_DISCARDED_BYTES:
            answered = self.cycle is None or self.cycle.response_complete
            if answered and not self.transport.is_closing():  # else it is closed behind the answer
                self.transport.close()
            self.flow.pause_reading()

    def _take_pipelined(self) -> bytes:
        data, self._pipelined = self._pipelined, b""
        self._table.pipelined_bytes -= len(data)
        return data

    def _refuse(self, error: Refused | httptools.HttpParserError) -> None:
        """Refuse what the client sent: answer and close, or let the application answer if it has the request."""
        if not isinstance(error, Refused):
            error = refused.of_parser(error, in_head=self._in_head)
        self._discards = True
        if self._in_head and not self._busy:
            for part in self._refusals.response(error, self.url, self.headers, self.server_state.default_headers):
                self.transport.write(part)
            self.transport.close()
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False
            if self._busy:
                self._refusals.count(error.reason)  # the connection closes behind the answer to the request before
            else:
                self.cycle.scope["state"]["body_error"] = error.error
                self.cycle.message_event.set()

    def expire(self) -> None:
        self.deadline = math.inf
        if self.transport.is_closing() or not self._in_head:
            self._close_now()
        elif self.spare:
            self.evict()
        elif self._overhead:
            self._refuse(refused.header_time(self._limits.header_timeout_seconds))
        else:
            self.transport.close()

    def may_be_evicted(self, now: float) -> bool:
        if self.transport.is_closing():
            return now - (self.deadline - CLOSE_SECONDS) >= PENDING_SECONDS
        if self._busy or self._discards or not self._in_head:
            return False
        used = self.cycle is not None and not self._overhead
        timeout = self._limits.header_timeout_seconds if self._overhead else self._limits.keep_alive_seconds
        waiting_since = self.deadline - timeout
        return now - waiting_since >= (IDLE_SECONDS if used else PENDING_SECONDS)

    def evict(self) -> None:
        if self._in_head and not (self._busy or self._discards) and (self._overhead or self.cycle is None):
            self._refuse(refused.connections())
        self._close_now()

    def abort(self, reason: str) -> None:
        self._refusals.count(reason)
        self._discards = True
        self.transport.abort()

    def check_unread(self, now: float) -> int:
        unread: int = self.transport.get_write_buffer_size()
        self.reading.note(now, self.transport.written - unread, unread)
        if self.reading.is_too_slow(now):
            self.abort(refused.UNREAD)
            return 0
        return unread

    def _close_now(self) -> None:
        self.transport.close()
        self.transport.close()  # the first time may close one half only

    def _client_sends(self) -> bool:
        """Return whether the client is still sending when its connection is closed; if so, limit the time for that."""
        sending = bool(self._overhead or not self._in_head or self._pipelined)
        if sending:
            self._discards = True
            self._take_pipelined()
            self.flow.resume_reading()
            self.deadline = self.loop.time() + CLOSE_SECONDS
        return sending
