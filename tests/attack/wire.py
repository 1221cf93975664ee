"""HTTP/1.1 over asyncio streams, for clients that must also be able to send what no client library sends."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

READ_LIMIT = 2**27
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Response:
    """A response: its status, its headers by lower-case name, and its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body parsed; empty where it is no JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def code(self) -> str:
        """The code of the error envelope, or the empty string."""
        error = self.json.get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    @property
    def label(self) -> str:
        """Status and error code in one word for counting."""
        return f"{self.status} {self.code}".strip()

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


def pack_head(
    method: str, path: str, length: int | None, key: str = "", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the head of a request; `length` None leaves Content-Length out."""
    fields = {"Host": "127.0.0.1"}
    if key:
        fields["Authorization"] = f"Bearer {key}"
    if length is not None:
        fields |= {"Content-Type": JSON, "Content-Length": str(length)}
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in (fields | dict(headers or {})).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def pack(method: str, path: str, body: object = None, key: str = "", headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole request; a body of bytes is sent as it is, anything else as JSON."""
    content = (
        body if isinstance(body, bytes) else b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    )
    return pack_head(method, path, None if body is None else len(content), key, headers) + content


async def read_response(reader: asyncio.StreamReader, *, without_body: bool = False) -> Response:
    """Read one response. Raises EOFError or an OSError if the connection ends, ValueError if it is no HTTP."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    if not head[0].startswith("HTTP/1."):
        raise ValueError(f"no status line: {head[0][:80]}")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    status = int(head[0].split(" ")[1])
    if status == 100:
        return await read_response(reader, without_body=without_body)
    if without_body or status in {204, 304}:
        return Response(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        return Response(status, headers, await _read_chunks(reader))
    return Response(status, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        content += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return content


@dataclass(slots=True, eq=False)
class Connection:
    """One connection that is opened when it is needed, and kept while the service keeps it."""

    port: int
    source: str | None = None
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes, seconds: float = 35.0) -> Response:
        """Send a packed request and return its response. Raises OSError, EOFError or ValueError and closes."""
        try:
            async with asyncio.timeout(seconds):
                if self._streams is None:
                    self._streams = await connect(self.port, self.source)
                self._streams[1].write(request)
                response = await read_response(self._streams[0], without_body=request.startswith(b"HEAD "))
        except BaseException:
            self.close()
            raise
        if not response.keeps_alive:
            self.close()
        return response

    def close(self) -> None:
        """Close without waiting for the other side."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def connect(port: int, source: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to the service, from another loopback address if one is given."""
    local = None if source is None else (source, 0)
    return await asyncio.open_connection("127.0.0.1", port, limit=READ_LIMIT, local_addr=local)
