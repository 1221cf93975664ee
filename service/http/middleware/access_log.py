"""The access log: one line and one set of metrics for each request."""

import logging
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from starlette.types import Scope

from service.application.ports import RequestObserver
from service.domain.errors import DeadlineExceeded, Overloaded, RateLimited, ShuttingDown
from service.domain.operations import Json
from service.domain.sessions import LOGGED_CHARACTERS
from service.http.middleware.response import ResponseStart

log = logging.getLogger("unroll.access")

#: Which requests are logged: all, those that were answered with a status of 400 or more or with an error in their
#: stream, or none.
AccessLog: TypeAlias = Literal["all", "errors", "off"]

#: Codes of requests that were refused for lack of room or of time, or because their client sends too many.
SHED_CODES = frozenset({Overloaded.code, ShuttingDown.code, DeadlineExceeded.code, RateLimited.code})
#: Refusals of these codes are logged at DEBUG: a flood of requests must not become a flood of lines.
UNLOGGED_CODES = frozenset({Overloaded.code, RateLimited.code})
#: Other methods share one label, for clients choose the method's name.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Polled every few seconds by machines; logged at DEBUG.
UNLOGGED_PATHS = frozenset({"/health/live", "/health/ready", "/metrics", "/v2/health/live", "/v2/health/ready"})


def report(
    observer: RequestObserver, scope: Scope, response: ResponseStart, seconds: float, access_log: AccessLog
) -> None:
    """Count a request that has ended after `seconds`, and log it if `access_log` says so."""
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if scope["method"] in METHODS else "other"
    code = scope["state"].get("error_code")
    observer.request(route, method, response.status, seconds)
    if code in SHED_CODES:
        observer.shed(code)
    # A stream that an error has ended has a code, and the status with which it began.
    failed = response.status >= HTTPStatus.BAD_REQUEST or code is not None
    if access_log == "off" or (access_log == "errors" and not failed):
        return
    level = _level(route, response.status, code)
    if log.isEnabledFor(level):
        request = {"request_id": response.request_id.decode(), "tenant": scope["state"].get("tenant")}
        request |= {"method": method, "route": route, **_subject(scope, response.status), **_progress(scope["state"])}
        outcome = {"status": response.status, "code": code, "milliseconds": round(seconds * 1000, 3)}
        log.log(level, "request", extra=request | outcome)


def report_refusal(observer: RequestObserver, code: str, status: int, request_id: bytes, access_log: AccessLog) -> None:
    """Count a request that its connection refused before its route was known, and log it if `access_log` says so."""
    observer.request("unmatched", "other", status, 0.0)
    level = _level("unmatched", status, code)
    if access_log != "off" and log.isEnabledFor(level):
        request = {"request_id": request_id.decode(), "tenant": None, "method": "other", "route": "unmatched"}
        log.log(level, "request", extra=request | {"status": status, "code": code, "milliseconds": 0.0})


def _subject(scope: Scope, status: int) -> dict[str, str | None]:
    """Return the model and the beginning of the session id that a path names.

    A path that was not found names nothing: it can have any text of a client.
    """
    regex = getattr(scope.get("route"), "path_regex", None)
    match = None if regex is None or status == HTTPStatus.NOT_FOUND else regex.match(scope["path"])
    names = {} if match is None else match.groupdict()
    session = names.get("session_id")
    return {"model": names.get("model"), "session": None if session is None else session[:LOGGED_CHARACTERS]}


def _progress(state: dict[str, Any]) -> dict[str, Json]:
    """Return how far the session of a request is, or how many steps it had, and the times of its phases, if known."""
    progress, phases = state.get("progress"), state.get("phases")
    fields: dict[str, Json] = {} if progress is None else progress.progress()
    if "error_step" in state:
        fields["step"] = state["error_step"]
    if phases is not None and (milliseconds := phases.milliseconds()):
        fields["phases"] = milliseconds
    return fields


def _level(route: str, status: int, code: str | None) -> int:
    if route in UNLOGGED_PATHS or code in UNLOGGED_CODES:
        return logging.DEBUG
    return logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
