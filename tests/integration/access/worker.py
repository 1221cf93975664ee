"""A worker in this process, on a real store, and requests to it that pass no socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message

from service.bootstrap.worker import NO_OVERRIDES, Overrides, running_worker
from service.http.routes.websocket import EXTENSION
from service.settings import Settings
from service.store import EmbeddedServer
from tests.folders import write_language_model
from tests.server import short_folder

TTL = 3000


@dataclass(frozen=True)
class Answer:
    """A response: its status, its headers but the request's id, and its body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass
class Socket:
    """The side of the service of a WebSocket whose frames are there already."""

    frames: list[bytes]
    answers: list[Any] = field(default_factory=list)
    connected: bool = True
    codes: list[int] = field(default_factory=list)

    def accept(self) -> tuple["Socket", list[tuple[bytes, bytes]]]:
        return self, []

    async def receive(self) -> bytes | None:
        return self.frames.pop(0) if self.frames else None

    def send(self, text: bytes) -> None:
        self.answers.append(json.loads(text))

    def end(self) -> None:
        self.frames.clear()

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.codes.append(code)


@dataclass
class Client:
    """A client with a key. Each request is one of its own connection."""

    app: ASGIApp
    key: str | None
    address: str = "192.0.2.1"

    async def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        socket: Socket | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request; a body that is no bytes is sent as JSON."""
        path, _, query = target.partition("?")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        given = {"host": "localhost", "content-length": str(len(content)), **(headers or {})}
        given |= {"content-type": kind} if content else {}
        given |= {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": (self.address, 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        if socket is not None:
            scope["extensions"] = {EXTENSION: socket}
        return await _answer(self.app, scope, content)

    async def session(self, model: str = "tiny", **fields: object) -> str:
        created = await self.ask("POST", "/v1/sessions", {"model": model, "ttl_seconds": TTL, **fields})
        assert created.status == 201, created.body
        return str(created.json["id"])


async def _answer(app: ASGIApp, scope: dict[str, Any], content: bytes) -> Answer:
    unread, parts = [content], list[bytes]()
    start: dict[str, Any] = {}

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    headers = tuple(
        (name.decode(), value.decode()) for name, value in start["headers"] if name.lower() != b"x-request-id"
    )
    return Answer(start["status"], headers, b"".join(parts))


@contextmanager
def deployment() -> Iterator[tuple[Path, str]]:
    """A folder with two models, and the URL of a store."""
    with short_folder() as folder:
        for name in ("tiny", "other"):
            write_language_model(folder / "models", name, hidden_size=8, seed=3)
        store = EmbeddedServer(folder / "state")
        store.start()
        try:
            yield folder, store.url
        finally:
            store.stop()


@asynccontextmanager
async def running(
    folder: Path, url: str, overrides: Overrides = NO_OVERRIDES, **settings: object
) -> AsyncIterator[ASGIApp]:
    """Run a worker; yields its application."""
    chosen: dict[str, Any] = {"redis_url": url, "models": folder / "models", "access_log": "off", **settings}
    async with running_worker(Settings(**chosen), overrides) as worker:
        yield worker.app
