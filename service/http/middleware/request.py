"""The door: every request passes here before anything of it is parsed, and every answer on its way out.

Gives requests their id, permit, tenant and deadline; bounds their body; counts and logs them; turns whatever escapes
into the error envelope.
"""

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.application.admission import Admission
from service.application.deadlines import Deadline
from service.application.ports import Clock, Observer
from service.application.request_context import RequestContext
from service.domain.errors import BodyTooLarge, InternalError, Overloaded, ShuttingDown, UnrollError
from service.http import errors
from service.http.middleware import headers as request_headers
from service.http.middleware.disconnects import DisconnectWatcher

log = logging.getLogger("unroll.access")

#: Open to everyone, and to a worker that is full: operators ask here.
OPEN_PATHS = ("/health/", "/metrics", "/docs", "/openapi.json")
#: Codes of requests refused for lack of room or time.
SHED = frozenset({"overloaded", "shutting_down", "deadline_exceeded"})
#: POST opens a session here.
OPENING_PATH = re.compile(r"/v1/sessions(?:/import|/[^/]+/fork)?")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: As nginx counts a client that went away before it was answered.
CLIENT_GONE = 499
#: How long a refused client may take for the rest of its body.
BODY_SECONDS = 1.0
#: Asked every few seconds by machines: not worth a line of the log at its usual level.
UNLOGGED_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What the door checks; `keys` maps API keys to tenants, none means that everyone may enter."""

    max_body_bytes: int
    request_timeout_seconds: float
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestMiddleware:
    """ASGI middleware around the whole application."""

    app: ASGIApp
    settings: RequestSettings
    admission: Admission
    observer: Observer
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await RequestScope(self, scope, receive, send).run()
        else:
            await self.app(scope, receive, send)


class RequestScope:
    """One request on its way through."""

    def __init__(self, gate: RequestMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._request_id = request_headers.request_id(self._headers)
        self._open = scope["path"].startswith(OPEN_PATHS)
        self._state = scope.setdefault("state", {})
        self._status = 0
        self._received = 0
        self._watch: DisconnectWatcher | None = None
        self._complete = self._headers.get("content-length", "0") == "0" and "transfer-encoding" not in self._headers

    async def run(self) -> None:
        """Serve the request; whatever happens, it is answered, counted and logged once."""
        gate, started = self._gate, self._gate.clock.monotonic()
        gate.observer.in_flight(1)
        try:
            await self._enter()
        except UnrollError as error:
            await self._answer(error)
        except ClientDisconnect:
            self._status = CLIENT_GONE
        except asyncio.CancelledError:
            await self._on_cancelled()
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the client gets an envelope
            self._log_crash(error)
            await self._answer(InternalError("something failed here; the log tells why under this request's id"))
        finally:
            self._end_watch()
            gate.observer.in_flight(-1)
            self._report(gate.clock.monotonic() - started)

    async def _enter(self) -> None:
        gate = self._gate
        if self._open:
            await gate.app(self._scope, self._receive, self._marked_send)
            return
        opens_session = self._scope["method"] == "POST" and OPENING_PATH.fullmatch(self._scope["path"]) is not None
        patience = request_headers.timeout(self._headers)
        gate.admission.enter(patience, opens_session=opens_session)
        try:
            owner = request_headers.tenant(self._headers, gate.settings.keys)
            seconds = gate.settings.request_timeout_seconds if patience is None else patience
            self._state["caller"] = RequestContext(owner, Deadline.after(gate.clock, seconds))
            self._check_length()
            await gate.app(self._scope, self._bounded_receive, self._marked_send)
        finally:
            gate.admission.leave(answered=HTTPStatus.OK <= self._status < HTTPStatus.INTERNAL_SERVER_ERROR)

    def _check_length(self) -> None:
        declared = self._headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._gate.settings.max_body_bytes:
            raise self._too_large(f"{declared} bytes")

    def _too_large(self, found: str) -> BodyTooLarge:
        return BodyTooLarge(f"the body has {found}: expected at most {self._gate.settings.max_body_bytes} bytes")

    async def _on_cancelled(self) -> None:
        if self._watch is not None and self._watch.gone:
            self._status = CLIENT_GONE
            return
        # The end of the grace time, at a place that does not know what took effect.
        await self._answer(ShuttingDown("this worker had to stop before the request was done", applied="unknown"))

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.end()

    async def _bounded_receive(self) -> Message:
        if self._watch is not None or self._status:
            return await self._receive()
        async with self._state["caller"].deadline.bounding():
            message = await self._receive()
        self._complete = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._gate.settings.max_body_bytes:
            raise self._too_large(f"{self._received} bytes or more")
        if self._complete:
            self._watch = DisconnectWatcher(self._receive)
        return message

    async def _marked_send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._end_watch()
            self._status = message["status"]
            headers = [*message.get("headers", []), (b"x-request-id", self._request_id.encode("latin-1"))]
            if self._gate.admission.draining and self._complete:
                # Closing on a client that still sends would reset the connection before it has read the answer.
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await self._send(message)

    async def _read_on(self) -> None:
        """Read what is left of a body that nobody needs, so that the connection can be closed after the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BODY_SECONDS):
                while not self._complete:
                    message = await self._receive()
                    self._complete = not message.get("more_body", False)

    async def _answer(self, error: UnrollError) -> None:
        if not self._status:
            if self._gate.admission.draining:
                await self._read_on()
            await errors.response(error, self._scope)(self._scope, self._receive, self._marked_send)

    def _log_crash(self, error: Exception) -> None:
        log.error("request crashed", extra={"request_id": self._request_id}, exc_info=error)

    def _report(self, seconds: float) -> None:
        route = getattr(self._scope.get("route"), "path", "unmatched")
        method = self._scope["method"] if self._scope["method"] in METHODS else "other"
        code = self._state.get("error_code")
        self._gate.observer.request(route, method, self._status, seconds)
        if code in SHED:
            self._gate.observer.shed(code)
        level = logging.INFO
        if route in UNLOGGED_PATHS or code == Overloaded.code:
            level = logging.DEBUG  # in a rush writing them down would take the time that is short; they are counted
        elif self._status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            level = logging.WARNING
        if log.isEnabledFor(level):
            names = {"request_id": self._request_id, "method": method, "route": route, "status": self._status}
            log.log(level, "request", extra={**names, "code": code, "milliseconds": round(seconds * 1000, 3)})
