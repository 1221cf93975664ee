"""WebSockets of the service as a test uses them, by the real client of the package websockets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.server import Body, Server, envelope

RECEIVE_SECONDS = 20.0


@contextmanager
def open_socket(server: Server, path: str, key: str | None = None, **options: Any) -> Iterator[ClientConnection]:
    """A WebSocket of a service, closed at the end."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    url = server.url.replace("http", "ws", 1) + path
    with connect(url, additional_headers=headers, compression=None, **options) as socket:
        yield socket


def stream_of(session: str) -> str:
    """The path of a session's stream."""
    return f"/v1/sessions/{session}/stream"


def send(socket: ClientConnection, *frames: object) -> None:
    for frame in frames:
        socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))


def receive(socket: ClientConnection) -> Body:
    body: Body = json.loads(socket.recv(RECEIVE_SECONDS))
    return body


def received(socket: ClientConnection, count: int) -> list[Body]:
    return [receive(socket) for _ in range(count)]


def words(text: str, **fields: object) -> Body:
    """A frame of a step."""
    return {"input": {"text": text}, "options": {"top_k": 1}, **fields}


def error_of(answer: Body, status: int, code: str, *mentions: str) -> Body:
    """The error of an answer, checked."""
    return envelope(answer["error"], status, code, *mentions)


def close_of(socket: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the service closes a WebSocket that it sends nothing more on."""
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(RECEIVE_SECONDS)
    assert closed.value.rcvd is not None, "the connection was lost"
    return closed.value.rcvd.code, closed.value.rcvd.reason


def refused_handshake(server: Server, path: str, key: str | None = None, **options: Any) -> tuple[int, Body]:
    """Status and error of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as refused, open_socket(server, path, key, **options):
        pass
    response = refused.value.response
    assert response.headers["X-Request-Id"]
    return response.status_code, json.loads(bytes(response.body or b""))["error"]
