"""TLS of a connection, between its socket and the HTTP protocol.

The event loop's own transport for TLS is not used. It tells of a connection only after the handshake, so that nobody
could count those before it; it has no half-closed state, so that last answers would be lost; and it keeps up to half a
megabyte of what a client does not read, of which the bounds on connections would not know. Here the protocol has its
transport from the first moment, and each of its calls has the effect that it has without TLS.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from service.certificates import Certificate
from service.process.connections import refusals as refused
from service.process.connections.refusals import Refusals

#: Bytes that are decrypted at once.
READ_BYTES = 65_536
#: OpenSSL's reason for a request without TLS.
PLAIN_HTTP = "HTTP_REQUEST"
#: What a connection that is lost refers to, in place of the protocol that refers to it.
GONE = asyncio.Protocol()


class TlsConnection(asyncio.Protocol, asyncio.Transport):
    """TLS of one connection: the protocol of its socket, and the transport of `protocol`."""

    def __init__(
        self, protocol: asyncio.Protocol, context: ssl.SSLContext, refusals: Refusals, handshake_seconds: float
    ) -> None:
        super().__init__()
        self._protocol: Any = protocol
        self._refusals = refusals
        self._handshake_seconds = handshake_seconds
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        self._secured = False  # the handshake is complete
        self._ended = False  # this side has ended; what the client still sends is dropped

    # The protocol of the socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket: Any = transport
        self._timer = asyncio.get_running_loop().call_later(self._handshake_seconds, self._fail)
        self._protocol.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        protocol, self._protocol = self._protocol, GONE
        protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            self._protocol.data_received(data)  # which only counts it
            return
        self._received.write(data)
        try:
            if not self._secured:
                self._tls.do_handshake()
                self._secured = True
                self._timer.cancel()
            self._decrypt()
        except ssl.SSLWantReadError:
            self._send()
        except ssl.SSLZeroReturnError:
            self.close()
        except ssl.SSLError as error:
            self._fail(error.reason)

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # The transport of the protocol.

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        return self._tls.context if name == "sslcontext" else self._socket.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write data. What is written before the handshake is complete is dropped: nobody could read it."""
        if data and self._secured and not (self._ended or self._socket.is_closing()):
            self._tls.write(data)
            self._send()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._end()
        self._socket.write_eof()

    def close(self) -> None:
        self._end()
        self._socket.close()

    def abort(self) -> None:
        self._socket.abort()

    def is_closing(self) -> bool:
        return bool(self._socket.is_closing())

    def pause_reading(self) -> None:
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        self._socket.resume_reading()

    def is_reading(self) -> bool:
        return bool(self._socket.is_reading())

    def get_write_buffer_size(self) -> int:
        return int(self._socket.get_write_buffer_size())

    def get_write_buffer_limits(self) -> tuple[int, int]:
        low, high = self._socket.get_write_buffer_limits()
        return low, high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    # What both share.

    def _decrypt(self) -> None:
        """Hand over all that has arrived, even if reading is paused meanwhile. Raises SSLError."""
        self._send()
        while not (self._ended or self._socket.is_closing()):
            data = self._tls.read(READ_BYTES)
            if not data:  # the client has ended its side, which is the end of the connection as without TLS
                self.close()
                return
            self._protocol.data_received(data)

    def _send(self) -> None:
        if self._to_send.pending and not self._socket.is_closing():
            self._socket.write(self._to_send.read())

    def _end(self) -> None:
        """Tell the client that nothing follows."""
        if self._secured and not (self._ended or self._socket.is_closing()):
            with contextlib.suppress(ssl.SSLError):  # it also asks whether the client has ended, too
                self._tls.unwrap()
            self._send()
        self._ended = True

    def _fail(self, reason: str | None = None) -> None:
        """End a connection whose client does not speak TLS, does not in time, or not any more."""
        if self._secured or self._socket.is_closing():
            self._socket.abort()
            return
        self._ended = True
        if reason == PLAIN_HTTP:
            for part in self._refusals.response(refused.plain_http(), b"", (), ()):
                self._socket.write(part)
        else:
            self._refusals.count(refused.TLS_HANDSHAKE)
            self._send()
        self._socket.close()


def over_tls(
    protocol: Callable[..., asyncio.Protocol], certificate: Certificate, refusals: Refusals, handshake_seconds: float
) -> Callable[..., asyncio.Protocol]:
    """Return a factory of protocols behind TLS, with the certificate that is current when the client connects."""

    def connect(**given: Any) -> asyncio.Protocol:  # noqa: ANN401 - uvicorn's arguments
        return TlsConnection(protocol(**given), certificate.context, refusals, handshake_seconds)

    return connect
