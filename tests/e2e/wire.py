"""A connection to the service as raw as it gets: kept open, slow, or asked once more when nobody should be."""

import itertools
import json
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.server import Body, Server, eventually

IDS = itertools.count(1)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: Body

    @property
    def closing(self) -> bool:
        """Whether the server says that it closes the connection."""
        return self.headers.get("connection") == "close"


class Wire:
    """One connection; it never reconnects."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Send a request, and read its answer. Raises ConnectionError when none comes."""
        self.send(method, path, body, **headers)
        return self.answer()

    def send(self, method: str, path: str, body: object = None, **headers: str) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self._socket.sendall(_head(method, path, content, **headers) + content)

    def begin(self, path: str, body: object) -> bytes:
        """Send the head of a POST and wait until the server wants the body; returns that, to be sent at leisure."""
        content = json.dumps(body).encode()
        self._socket.sendall(_head("POST", path, content, Expect="100-continue"))
        wanted = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert self._socket.recv(len(wanted), socket.MSG_WAITALL) == wanted
        return content

    def finish(self, content: bytes) -> Reply:
        """Send a body, and read the answer."""
        self._socket.sendall(content)
        return self.answer()

    def answer(self) -> Reply:
        response = HTTPResponse(self._socket)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, json.loads(response.read() or b"null"))

    def finish_sending(self) -> None:
        """Close the half of the connection that the client sends on."""
        self._socket.shutdown(socket.SHUT_WR)

    def at_its_end(self) -> bool:
        """Whether the server closed the connection in good order."""
        return self._socket.recv(1) == b""

    def worker(self, server: Server) -> int:
        """The process that serves this connection, as the log tells."""
        name = f"wire-{next(IDS)}"
        self.ask("GET", "/v1/models", **{"X-Request-Id": name})
        mark = f'"request_id": "{name}"'
        line = eventually(lambda: next((line for line in server.log.splitlines() if mark in line), None))
        return int(json.loads(line)["process"])


@contextmanager
def wires_of_one_worker(server: Server, count: int) -> Iterator[tuple[int, list[Wire]]]:
    """Several connections that one worker has accepted, and its process; who else accepted one is left alone."""
    with ExitStack() as stack:
        found: defaultdict[int, list[Wire]] = defaultdict(list)
        while not (full := [pid for pid, wires in found.items() if len(wires) == count]):
            wire = stack.enter_context(Wire(server.url))
            found[wire.worker(server)].append(wire)
        for pid, wires in found.items():
            for wire in wires if pid != full[0] else []:
                wire.close()
        yield full[0], found[full[0]]


def _head(method: str, path: str, content: bytes, **headers: str) -> bytes:
    wanted = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items()), "", ""]
    return "\r\n".join(lines).encode()
