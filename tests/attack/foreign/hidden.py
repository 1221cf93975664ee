"""Requests that are hidden in others, in ways that proxies and services have read differently."""

import asyncio
import contextlib
import random
from typing import Any

from tests.attack.foreign.known import Known, made_up
from tests.attack.foreign.tenants import MODEL
from tests.attack.wire import connect

_SECONDS = 30.0
_SILENCE_SECONDS = 0.3


async def smuggle(choose: random.Random, known: Known, port: int, key: str) -> tuple[str, str]:
    """Send a request that is hidden in another one, and return both, and all that was answered on the connection."""
    hidden = _request(*choose.choice([("GET", ""), ("DELETE", ""), ("GET", "/state")]), known.session(choose), key)
    if choose.random() < 0.3:  # a head that waits for the next client's request to be its body
        hidden = _head("POST", "/v1/sessions/import", key) + b"Content-Length: 400\r\n\r\n"
    sent = choose.choice(_HIDING)(hidden, key) + _request("GET", "", made_up(choose), key)
    reader, writer = await connect(port)
    answered = b""
    try:
        writer.write(sent)
        with contextlib.suppress(OSError, TimeoutError):
            while part := await asyncio.wait_for(reader.read(65_536), _SILENCE_SECONDS if answered else _SECONDS):
                answered += part
    except OSError:
        pass
    finally:
        writer.transport.abort()
    return sent.decode("latin-1"), answered.decode("latin-1")


def _head(method: str, path: str, key: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}"]
    return "\r\n".join([*lines, "Content-Type: application/json", ""]).encode()


def _request(method: str, path: str, session: str, key: str) -> bytes:
    return _head(method, f"/v1/sessions/{session}{path}", key) + b"Content-Length: 0\r\n\r\n"


def _framed(*fields: bytes) -> Any:
    """A way of hiding: a request whose fields do not agree on where its body ends."""

    def hide(hidden: bytes, key: str) -> bytes:
        head = _head("POST", f"/v1/models/{MODEL}/predict", key)
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
        lines = b"".join(field.replace(b"LENGTH", b"%d" % (5 + len(hidden))) + b"\r\n" for field in fields)
        body = chunk if fields[-1].startswith(b"Content-Length: 4") else b"0\r\n\r\n" + hidden
        return head + lines + b"\r\n" + body

    return hide


def _upgrade(hidden: bytes, key: str) -> bytes:
    """A request behind a handshake of a WebSocket that cannot succeed."""
    head = _head("GET", "/v1/stream", key)
    fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: x\r\n\r\n"
    return head + fields + hidden


_HIDING = [
    _framed(b"Content-Length: LENGTH", b"Transfer-Encoding: chunked"),
    _framed(b"Transfer-Encoding: chunked", b"Content-Length: 4"),
    _framed(b"Content-Length: LENGTH", b"Transfer-Encoding : chunked"),
    _framed(b"Content-Length: LENGTH", b"Transfer-Encoding:\x0bchunked"),
    _framed(b"Content-Length: LENGTH", b"Transfer-Encoding: xchunked"),
    _framed(b"Content-Length: LENGTH", b"X: y\r\n Transfer-Encoding: chunked"),
    _framed(b"Content-Length: LENGTH", b"X: y\rTransfer-Encoding: chunked"),
    _framed(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", b"Content-Length: LENGTH"),
    _framed(b"Transfer-Encoding: chunked, identity", b"Content-Length: LENGTH"),
    _framed(b"Content-Length: LENGTH", b"Content-Length: 5"),
    _framed(b"Content-Length: 5, LENGTH"),
    _framed(b"Content-Length: +LENGTH"),
    _framed(b"Content-Length: 0x5"),
    _framed(b"Content-Length: 5 LENGTH"),
    _framed(b"Expect: 100-continue", b"Content-Length: 5"),
    _framed(b"Connection: Content-Length", b"Content-Length: LENGTH"),
    _framed(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked"),
    _upgrade,
]
