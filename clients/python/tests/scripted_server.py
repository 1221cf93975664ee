"""An HTTP server that answers by a script, over real connections."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from unroll_client import RetryPolicy

#: A policy with which tests do not wait.
FAST = RetryPolicy(initial_delay=0.01, max_delay=0.02, max_attempts=4)
#: A Session object, and what a StepResult of next words has beside its step.
INFO = {
    "id": "ses_a",
    "model": "tiny",
    "version": "1",
    "task": "next-word",
    "step": 0,
    "timesteps": 0,
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-01T01:00:00Z",
    "ttl_seconds": 3600,
    "durability": "memory",
    "state_bytes": 64,
}
DONE = {"output": {"predictions": [], "observed": None}, "expires_at": "2026-01-01T01:00:00Z"}


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes
    at: float

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Answer:
    """A whole answer; `cut` closes the connection after so many bytes of the body, -1 before the head."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0.0


def error(status: int, code: str, *, applied: str | None = None, step: int | None = None, **headers: str) -> Answer:
    """An error in the service's envelope; `Retry_After="1"` is a header."""
    fields = {"code": code, "type": "server_error", "message": f"it is {code}", "param": None}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"error": fields | {"applied": applied, "step": step}}, {"X-Request-Id": "req-1"} | named)


CUT = Answer(cut=-1)
Script = Answer | Callable[[Received], Answer]


class ScriptedServer:
    """Answers the next request by the next entry of the script, and records what arrived."""

    def __init__(self) -> None:
        self.script: deque[Script] = deque()
        self.received: list[Received] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def will(self, *answers: Script) -> None:
        """Add to the script."""
        self.script.extend(answers)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, content, time.monotonic())
                server.received.append(request)
                scripted = server.script.popleft()
                self._answer(scripted(request) if callable(scripted) else scripted)

            def _answer(self, answer: Answer) -> None:
                time.sleep(answer.delay)
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.close_connection = answer.cut is not None
                if answer.cut == -1:
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content if answer.cut is None else content[: answer.cut])

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
                pass

        return Handler
