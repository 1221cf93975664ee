"""Connections on which a test sends any bytes it likes, and what the service answers on them."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.server import ENVELOPE

TIMEOUT_SECONDS = 20.0


@dataclass
class Answer:
    """One answer: its status, its headers by lower-case name, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error in the envelope, checked for its form."""
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert set(error) == ENVELOPE
        return error


class RawConnection:
    """One connection to a service. `source` is the client's own address, for clients that differ in it."""

    def __init__(self, url: str, *, source: str = "127.0.0.1", receive_buffer: int | None = None) -> None:
        address = urlsplit(url)
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT_SECONDS)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind((source, 0))
        self.socket.connect((address.hostname, address.port))
        self._received = b""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send data; that the service closes the connection meanwhile is no error."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def send_slowly(self, parts: Iterator[bytes], pause: float) -> None:
        """Send part by part until the service has answered or closes."""
        self.socket.settimeout(pause)
        for part in parts:
            try:
                self.socket.sendall(part)
                self._received += self.socket.recv(65536)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        self.socket.settimeout(TIMEOUT_SECONDS)

    def answer(self) -> Answer:
        """Return the next answer."""
        head = self._until(b"\r\n\r\n")
        start, *lines = head[:-4].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        while len(self._received) < int(headers.get("content-length", 0)):
            self._receive()
        size = int(headers.get("content-length", 0))
        body, self._received = self._received[:size], self._received[size:]
        return Answer(int(start.split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Wait until the service closes the connection; return whether it does, and says no more."""
        with contextlib.suppress(ConnectionError):
            return self.socket.recv(1) == b"" and not self._received
        return not self._received

    def seconds_until_closed(self) -> float:
        started = time.monotonic()
        assert self.is_closed()
        return time.monotonic() - started

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(end)
        return head + end

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("closed by the service")
        self._received += data


def exchange(url: str, data: bytes, **options: Any) -> Answer:
    """Send data on a connection of its own, and return the answer, behind which the service must close."""
    with contextlib.closing(RawConnection(url, **options)) as connection:
        connection.send(data)
        answer = connection.answer()
        assert answer.headers["connection"] == "close"
        assert connection.is_closed()
        return answer
