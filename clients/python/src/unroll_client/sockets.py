"""WebSockets as commands, over the library websockets."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import websockets.asyncio.client
import websockets.sync.client
from websockets.exceptions import InvalidStatus, WebSocketException

from unroll_client.error_answers import error_of
from unroll_client.errors import ConnectionFailed
from unroll_client.flow import Command
from unroll_client.transport import Http, time_limit

#: Largest answer in bytes.
MAX_SIZE = 64 * 1024 * 1024
CLOSE_SECONDS = 5.0


@dataclass(slots=True)
class Socket:
    """An open WebSocket; `opened` closes it."""

    connection: Any
    opened: ExitStack | AsyncExitStack
    timeout: float | None


@dataclass(frozen=True, slots=True)
class OpenSocket(Command[Socket]):
    """Open a WebSocket. Raises UnrollError."""

    http: Http
    path: str

    def run(self) -> Socket:
        with socket_errors(), ExitStack() as stack:
            connection = stack.enter_context(websockets.sync.client.connect(**self._arguments()))
            return Socket(connection, stack.pop_all(), self.http.any_client.timeout.read)

    async def run_async(self) -> Socket:
        with socket_errors():
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(websockets.asyncio.client.connect(**self._arguments()))
                return Socket(connection, stack.pop_all(), self.http.any_client.timeout.read)

    def _arguments(self) -> dict[str, Any]:
        client = self.http.any_client
        headers = {name: client.headers[name] for name in ("Authorization", "X-Api-Key") if name in client.headers}
        url = client.base_url.join(self.path)
        return {
            "uri": str(url.copy_with(scheme={"http": "ws", "https": "wss"}[url.scheme])),
            "additional_headers": headers | time_limit(self.http),
            "user_agent_header": client.headers.get("User-Agent"),
            "compression": None,
            "open_timeout": client.timeout.connect,
            "close_timeout": CLOSE_SECONDS,
            "max_size": MAX_SIZE,
        } | ({} if self.http.ssl_context is None else {"ssl": self.http.ssl_context})


@dataclass(frozen=True, slots=True)
class SendText(Command[None]):
    """Send a message. Raises ConnectionFailed."""

    socket: Socket
    text: str

    def run(self) -> None:
        with socket_errors():
            self.socket.connection.send(self.text)

    async def run_async(self) -> None:
        with socket_errors():
            await self.socket.connection.send(self.text)


@dataclass(frozen=True, slots=True)
class ReceiveText(Command[bytes]):
    """Wait for the next message. Raises ConnectionFailed."""

    socket: Socket

    def run(self) -> bytes:
        with socket_errors():
            message: bytes = self.socket.connection.recv(self.socket.timeout, decode=False)
            return message

    async def run_async(self) -> bytes:
        with socket_errors():
            async with asyncio.timeout(self.socket.timeout):
                message: bytes = await self.socket.connection.recv(decode=False)
                return message


@dataclass(frozen=True, slots=True)
class ReceiveWithin(Command[bytes | None]):
    """Wait so many seconds for the next message; None if there is none. Raises ConnectionFailed."""

    socket: Socket
    seconds: float

    def run(self) -> bytes | None:
        with socket_errors(), contextlib.suppress(TimeoutError):
            message: bytes = self.socket.connection.recv(self.seconds, decode=False)
            return message
        return None

    async def run_async(self) -> bytes | None:
        with socket_errors(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.seconds):
                message: bytes = await self.socket.connection.recv(decode=False)
                return message
        return None


@dataclass(frozen=True, slots=True)
class CloseSocket(Command[None]):
    """Close a WebSocket."""

    socket: Socket

    def run(self) -> None:
        assert isinstance(self.socket.opened, ExitStack)  # noqa: S101 - for mypy
        with contextlib.suppress(WebSocketException, OSError):
            self.socket.opened.close()

    async def run_async(self) -> None:
        assert isinstance(self.socket.opened, AsyncExitStack)  # noqa: S101 - for mypy
        with contextlib.suppress(WebSocketException, OSError):
            await self.socket.opened.aclose()


def parse(message: bytes) -> object:
    """Return a message as JSON. Raises ConnectionFailed."""
    try:
        return json.loads(message)
    except ValueError:
        raise ConnectionFailed("a message of the WebSocket is not JSON", applied="unknown") from None


@contextlib.contextmanager
def socket_errors() -> Iterator[None]:
    """Raise the errors of a WebSocket as UnrollError: a refused handshake is the answer to a request."""
    try:
        yield
    except InvalidStatus as error:
        response = error.response
        headers, content = httpx.Headers(list(response.headers.raw_items())), bytes(response.body or b"")
        raise error_of(response.status_code, headers, content) from None
    except (WebSocketException, OSError) as error:
        description = str(error) or type(error).__name__
        raise ConnectionFailed(f"the WebSocket broke: {description}", applied="unknown") from error
