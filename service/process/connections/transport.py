"""Transport of a connection: it writes head and body of a response together, and closes without losing the response.

Separate writes of head and body would cost two system calls and wake the client twice.
"""

import asyncio
from collections.abc import Callable
from typing import Any

#: First bytes of a response head, which uvicorn writes at once.
HEAD_START = b"HTTP/1.1 "
#: Time in which a client that is still sending can read its last answers before its connection is closed, and the bytes
#: that it may send meanwhile. To close earlier would reset the connection, with what is on its way: at 200 kbit/s ten
#: seconds are a quarter of a megabyte of answers, or of the body whose end many clients await before they read.
CLOSE_SECONDS = 10.0
MAX_DISCARDED_BYTES = 2**20


class HeadBufferingTransport:
    """Transport that holds back a response head until its body is written, or until the turn of the loop ends.

    `client_sends` returns, when the connection is closed, whether the client is still sending. `written` is the number
    of bytes written so far.
    """

    def __init__(self, transport: asyncio.Transport, client_sends: Callable[[], bool] = bool) -> None:
        self.written = 0
        self.client_sends = client_sends
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._half_closed = False

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
        self.written += len(data)
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._half_closed or self._transport.is_closing()

    def close(self) -> None:
        """Close after everything is written; the first time only one half, if the client is still sending.

        To close while a client sends would reset the connection, perhaps before the client has read the response.
        """
        self._flush()
        if self.is_closing() or not self.client_sends():
            self._transport.close()
        else:
            self._half_closed = True
            self._transport.write_eof()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self.is_closing():  # the client may have gone meanwhile
            self.written += len(head)
            self._transport.write(head)
