"""A small HTTP/1.1 client that can misbehave: close before it reads, send half a request, be late."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from service.http.errors import STATUS

_STATUS_OF = {error.code: status for error, status in STATUS.items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status 0 is nothing at all; `retry_after` is in seconds.

    One that was `streamed` has the body and the status of the same reply without a stream.
    """

    status: int
    body: bytes = b""
    replayed: bool = False
    retry_after: float = 1.0
    streamed: bool = False

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The envelope's inside; empty for anything else."""
        try:
            found: dict[str, Any] = self.json["error"]
        except (ValueError, KeyError, TypeError):
            return {}
        return found

    @property
    def told_step(self) -> int | None:
        """Where the session stands, by an answer or a refusal."""
        step = self.json.get("step") if self.status == 200 else self.error.get("step")
        return step if isinstance(step, int) else None

    def items(self, count: int) -> "list[Reply]":
        """The replies to the steps of a request that had so many; each one's bytes as they stand in the body."""
        if self.status != 200:
            return [self] * count
        text, at, found = self.body.decode(), len('{"results":['), list[Reply]()
        for _ in range(count):
            body, end = json.JSONDecoder().raw_decode(text, at)
            status = _STATUS_OF[body["error"]["code"]] if "error" in body else 200
            found.append(Reply(status, text[at:end].encode()))
            at = end + 1
        return found


NOTHING = Reply(0)
#: Connections that are kept: each request that wants a fresh one would add another.
_MOST_IDLE = 4


@dataclass(slots=True, eq=False)
class Connections:
    """Connections to one port of this machine; a lost or late reply is NOTHING, whatever the reason."""

    port: int
    api_key: str = ""
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        seconds: float = 5.0,
        fresh: bool = False,
    ) -> Reply:
        """Send a request and wait for its reply so long at most."""
        content = pack(method, path, body, key, self.api_key)
        streams = self._idle.pop() if self._idle and not fresh else None
        try:
            async with asyncio.timeout(seconds):
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                streams[1].write(content)
                reply, goes_on = await read_reply(streams[0])
        except (OSError, ValueError, EOFError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
            if streams is not None:
                streams[1].transport.abort()
            return NOTHING
        except BaseException:
            if streams is not None:
                streams[1].transport.abort()
            raise
        if goes_on and len(self._idle) < _MOST_IDLE:
            self._idle.append(streams)
        else:
            streams[1].close()
        return reply

    async def abandon(self, path: str, body: object, key: str | None, share: float, seconds: float) -> None:
        """Send a share of a request and go away, after some seconds."""
        content = pack("POST", path, body, key, self.api_key)
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return
        writer.write(content[: int(len(content) * share)])
        await asyncio.sleep(seconds)
        writer.transport.abort()

    def close(self) -> None:
        """Close what is idle."""
        for _, writer in self._idle:
            writer.transport.abort()
        self._idle.clear()


def pack(method: str, path: str, body: object, key: str | None, api_key: str = "") -> bytes:
    """A request as bytes."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
    lines += ["Content-Type: application/json"] if body is not None else []
    lines += [f"Authorization: Bearer {api_key}"] if api_key else []
    lines += [f"Idempotency-Key: {key}"] if key is not None else []
    return "\r\n".join([*lines, "", ""]).encode() + content


async def read_reply(reader: asyncio.StreamReader) -> tuple[Reply, bool]:
    """Read one whole reply; also whether the connection goes on."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ")[1])
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    replayed, pause = headers.get("unroll-replayed") == "true", float(headers.get("retry-after", "1"))
    goes_on = headers.get("connection") != "close"
    if headers.get("content-type", "").startswith("text/event-stream"):
        return _read_events(await _read_chunks(reader), replayed), goes_on
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(status, body, replayed, pause), goes_on


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body to its end."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


def _read_events(body: bytes, replayed: bool) -> Reply:
    """Return the reply that the last event of a stream holds. Raises AssertionError if its tokens are others."""
    events = [event.partition(b"\ndata: ") for event in body.split(b"\n\n") if event.startswith(b"event: ")]
    *tokens, (name, _, last) = events
    if name == b"event: error":
        return Reply(_STATUS_OF[json.loads(last)["error"]["code"]], last, streamed=True)
    assert name == b"event: done", body
    output, streamed = json.loads(last)["output"], [json.loads(data) for _, _, data in tokens]
    assert "".join(token["text"] for token in streamed) == output["text"], body
    assert [token["token"] for token in streamed] == output["tokens"], body
    return Reply(200, last, replayed, streamed=True)
