"""The door: every request passes here before anything of it is parsed, and every answer on its way out.

Gives requests their id, permit, tenant and deadline; bounds their body; counts and logs them; turns whatever escapes
into the error envelope.
"""

import logging
import re
import secrets
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.application.admission import Admission
from service.application.caller import Caller
from service.application.deadlines import Deadline
from service.application.ports import Clock, Observer
from service.errors import (
    BodyTooLarge,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    MissingApiKey,
    UnrollError,
)
from service.http import errors

log = logging.getLogger("unroll.access")

OPEN_PATHS = ("/health/", "/metrics", "/docs", "/openapi.json", "/redoc")
MAX_TIMEOUT_MS = 600_000
#: Codes of requests refused for lack of room or time.
SHED = frozenset({"overloaded", "shutting_down", "deadline_exceeded"})
#: Asked every few seconds by machines: not worth a line of the log at its usual level.
QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the door checks; `tenants` maps API keys to tenants, none means that everyone is `public`."""

    max_body_bytes: int
    request_timeout_seconds: float
    tenants: dict[str, str] = field(default_factory=dict)


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, settings: GateSettings, admission: Admission, observer: Observer, clock: Clock
    ) -> None:
        self._app = app
        self._settings = settings
        self._admission = admission
        self._observer = observer
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await Passage(self, scope, receive, send).run()


class Passage:
    """One request on its way through."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._request_id = _request_id(self._headers.get("x-request-id"))
        self._status = 0
        self._received = 0
        self._code: str | None = None

    async def run(self) -> None:
        gate = self._gate
        started = gate._clock.monotonic()
        gate._observer.in_flight(1)
        admitted = False
        try:
            if not self._scope["path"].startswith(OPEN_PATHS):
                gate._admission.enter()
                admitted = True
            self._scope.setdefault("state", {})["caller"] = self._caller()
            self._check_length()
            await gate._app(self._scope, self._bounded_receive, self._marked_send)
        except UnrollError as error:
            await self._answer(error)
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the client gets an envelope
            self._log_crash(error)
            await self._answer(InternalError("something failed here; the log tells why under this request's id"))
        finally:
            if admitted:
                gate._admission.leave()
            gate._observer.in_flight(-1)
            self._report(gate._clock.monotonic() - started)

    def _caller(self) -> Caller:
        timeout = self._gate._settings.request_timeout_seconds
        wanted = self._headers.get("x-request-timeout-ms")
        if wanted is not None:
            if not wanted.isascii() or not wanted.isdigit() or not 1 <= int(wanted[:12]) <= MAX_TIMEOUT_MS:
                raise InvalidRequest(
                    f"X-Request-Timeout-Ms is {wanted[:40]!r}: expected an integer from 1 to {MAX_TIMEOUT_MS}",
                    param="X-Request-Timeout-Ms",
                )
            timeout = int(wanted) / 1000
        return Caller(self._tenant(), self._request_id, Deadline.after(self._gate._clock, timeout))

    def _tenant(self) -> str:
        tenants = self._gate._settings.tenants
        if not tenants or self._scope["path"].startswith(OPEN_PATHS):
            return "public"
        scheme, _, token = self._headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else self._headers.get("x-api-key", "")
        if not key:
            raise MissingApiKey("no API key: expected the header Authorization: Bearer KEY, or X-Api-Key: KEY")
        for known, tenant in tenants.items():
            if secrets.compare_digest(known.encode(), key.encode()):
                return tenant
        raise InvalidApiKey("the API key is not one of those configured")

    def _check_length(self) -> None:
        declared = self._headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._gate._settings.max_body_bytes:
            raise self._too_large(f"{declared} bytes")

    def _too_large(self, found: str) -> BodyTooLarge:
        return BodyTooLarge(f"the body has {found}: expected at most {self._gate._settings.max_body_bytes} bytes")

    async def _bounded_receive(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._gate._settings.max_body_bytes:
            raise self._too_large(f"{self._received} bytes or more")
        return message

    async def _marked_send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._code = self._scope["state"].get("error_code")
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self._request_id.encode("latin-1"))]
        await self._send(message)

    async def _answer(self, error: UnrollError) -> None:
        if self._status:
            return
        await errors.response(error, self._scope)(self._scope, self._receive, self._marked_send)

    def _log_crash(self, error: Exception) -> None:
        # Only the place and the kind: an exception's text may hold a user's.
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        log.error("request crashed", extra={**self._names(), "error": type(error).__name__, "frames": frames[-8:]})

    def _names(self) -> dict[str, str]:
        route = self._scope.get("route")
        return {
            "request_id": self._request_id,
            "method": self._scope["method"],
            "route": getattr(route, "path", "unmatched"),
        }

    def _report(self, seconds: float) -> None:
        names = self._names()
        if self._code in SHED:
            self._gate._observer.shed(self._code)
        self._gate._observer.request(names["route"], names["method"], self._status, seconds)
        if self._status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request failed", extra={**self._outcome(seconds), **names})
        else:
            level = logging.DEBUG if names["route"] in QUIET else logging.INFO
            log.log(level, "request", extra={**self._outcome(seconds), **names})

    def _outcome(self, seconds: float) -> dict[str, str | int | float | None]:
        return {"status": self._status, "code": self._code, "milliseconds": round(seconds * 1000, 3)}


def _request_id(given: str | None) -> str:
    if given is not None and re.fullmatch(r"[\x21-\x7e]{1,128}", given):
        return given
    return f"req_{secrets.token_hex(12)}"
