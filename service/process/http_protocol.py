"""HTTP protocol of a worker: uvicorn's, with many connections accepted per turn, and one write per response.

Separate writes of head and body would cost two system calls and wake the client twice.
"""

import asyncio
import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: First bytes of a response head, which uvicorn writes at once.
HEAD_START = b"HTTP/1.1 "
#: Number of connections that one turn of the event loop accepts.
ACCEPTS_PER_TURN = 8


def duplicate_listeners(listener: socket.socket) -> list[socket.socket]:
    """Return the duplicates of a listening socket that the event loop should watch, with the socket itself.

    libuv accepts one connection per socket and turn (https://github.com/libuv/libuv/pull/3696), and a turn that runs a
    forward pass takes tens of milliseconds: of hundreds of new connections, the last would wait for seconds.
    """
    # `dup` sets the mode of its original on the file that all workers share. If that were blocking, those that accept a
    # connection which another one has just accepted would hang until the next connections arrive.
    listener.setblocking(False)
    return [listener, *(listener.dup() for _ in range(ACCEPTS_PER_TURN - 1))]


class HttpProtocol(HttpToolsProtocol):
    """HTTP protocol of uvicorn, on a transport that writes head and body of a response together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(cast("asyncio.Transport", HeadBufferingTransport(transport)))


class HeadBufferingTransport:
    """Transport that holds back a response head until its body is written, or until the turn of the loop ends."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the transport's own
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write data, or hold back a head."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(HEAD_START):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Close after everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():  # the client may have gone meanwhile
            self._transport.write(head)
