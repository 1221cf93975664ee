"""What the tests of connections share: the limits of the worker that they attack, and requests as bytes."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.metrics import Metrics
from tests.raw_connection import Answer, RawConnection
from tests.server import NEW_CONNECTIONS, Server

MAX_CONNECTIONS = 40
HEADER_SECONDS, IDLE_SECONDS, WRITE_SECONDS = 1.0, 2.0, 1.0
MAX_HEADER_BYTES, MAX_HEADERS = 16_384, 100
#: How much later than its time a connection may be ended, on a busy machine too.
SLACK_SECONDS = 8.0
PREDICTION = json.dumps({"input": {"text": "the dog"}}).encode()
#: Memory that attacks may take for good, far less than they send.
MAX_GROWTH_BYTES = 24 * 2**20


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def shed(server: Server, reason: str) -> float:
    with httpx.Client(base_url=server.url, timeout=30, headers=NEW_CONNECTIONS) as http:
        return Metrics(http).value("shed_total", reason=reason)


@contextlib.contextmanager
def open_connections(server: Server, count: int, **options: object) -> Iterator[list[RawConnection]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(RawConnection(server.url, **options)))  # type: ignore[arg-type]
            for _ in range(count)
        ]


def request(
    *headers: bytes, method: bytes = b"POST", path: bytes = b"/v1/models/tiny/predict", body: bytes = b""
) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"", body])


def predict(body: bytes = PREDICTION) -> bytes:
    return request(b"Content-Length: %d" % len(body), body=body)


def ask(connection: RawConnection, path: bytes) -> Answer:
    connection.send(request(method=b"GET", path=path))
    return connection.answer()
