"""Handshake of a WebSocket. It is a GET request whose response, with the status 101, hands the connection over."""

import base64
import binascii
from collections.abc import Callable
from typing import Final

from websockets.utils import accept_key

from service.process.connections.headers import Header
from service.process.connections.websocket import WebSocket

#: Name of the extension in the scope of a request that is a handshake.
EXTENSION: Final = "unroll.websocket"
VERSION: Final = b"13"
KEY_BYTES: Final = 16


class Handshake:
    """Offer of the connection to the application that serves the request. `accept` takes it, before the response.

    `hand_over` is called with the WebSocket that is to have the connection.
    """

    def __init__(self, accept: bytes, websocket: WebSocket, hand_over: Callable[[WebSocket], None]) -> None:
        self._accept = accept
        self._websocket = websocket
        self._hand_over = hand_over

    def accept(self) -> tuple[WebSocket, list[Header]]:
        """Return the WebSocket, and headers of the response with status 101 behind which it is open."""
        self._hand_over(self._websocket)
        headers = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", self._accept)]
        return self._websocket, headers


def accept_value(method: str, headers: list[Header]) -> bytes | None:
    """Return the value of Sec-WebSocket-Accept, or None if a request is no handshake of a WebSocket."""
    if method != "GET" or _values(headers, b"upgrade") != [b"websocket"]:
        return None
    keys = _values(headers, b"sec-websocket-key", lower=False)
    if len(keys) != 1 or _values(headers, b"sec-websocket-version") != [VERSION]:
        return None
    try:
        raw = base64.b64decode(keys[0], validate=True)
    except binascii.Error:
        return None
    return accept_key(keys[0].decode("ascii")).encode() if len(raw) == KEY_BYTES else None


def _values(headers: list[Header], name: bytes, *, lower: bool = True) -> list[bytes]:
    return [value.strip().lower() if lower else value.strip() for header, value in headers if header == name]
