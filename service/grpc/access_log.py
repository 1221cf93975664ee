"""The access log of calls: one line and one set of metrics for each."""

import logging
import traceback
from types import SimpleNamespace
from typing import Any, Literal

from grpc._cython import cygrpc

from service.application.ports import RequestObserver
from service.domain.errors import DeadlineExceeded, Overloaded, RateLimited, ShuttingDown, UnrollError
from service.domain.sessions import LOGGED_CHARACTERS
from service.grpc.call import Call
from service.grpc.errors import http_status_of
from service.grpc.messages import HEALTH, INFERENCE

log = logging.getLogger("unroll.access")

#: The label `method` of the metrics of calls.
METHOD = "GRPC"
#: The status under which a call is counted whose client has gone before its answer.
CLIENT_GONE = 499
SHED_CODES = frozenset({Overloaded.code, ShuttingDown.code, DeadlineExceeded.code, RateLimited.code})
#: Logged at DEBUG: a flood of calls must not become a flood of lines, and machines ask for health all the time.
UNLOGGED_CODES = frozenset({Overloaded.code, RateLimited.code})
UNLOGGED_ROUTES = frozenset(
    {f"/{HEALTH}/Check", f"/{HEALTH}/Watch", f"/{INFERENCE}/ServerLive", f"/{INFERENCE}/ServerReady"}
)


def report(
    observer: RequestObserver,
    call: Call,
    error: UnrollError | None,
    seconds: float,
    access_log: Literal["all", "errors", "off"],
) -> None:
    """Count a call that has ended after `seconds`, and log it if `access_log` says so."""
    code = None if error is None else error.code
    status = _status(call, error)
    observer.request(call.route, METHOD, status, seconds)
    if code in SHED_CODES and not call.departed:
        observer.shed(code)
    if access_log == "off" or (access_log == "errors" and status < 400):
        return
    level = _level(call.route, status, code)
    if log.isEnabledFor(level):
        request: dict[str, object] = {
            "request_id": call.request_id,
            "tenant": call.tenant or None,
            "method": METHOD,
            "route": call.route,
            **_progress(call, error),
        }
        outcome = {"status": status, "code": code, "milliseconds": round(seconds * 1000, 3)}
        log.log(level, "request", extra=request | outcome)


def note_answer(call: Call, answer: Any) -> None:  # noqa: ANN401 - protobuf has no types
    """Note for the log which model has answered a call and, of a step of a sequence, where its session stands."""
    if answer.DESCRIPTOR.name == "ModelInferResponse":
        call.progress["model"] = answer.model_name
        if "session_id" in answer.parameters:
            call.progress["session"] = answer.parameters["session_id"].string_param[:LOGGED_CHARACTERS]
            call.progress["step"] = answer.parameters["step"].int64_param


def _progress(call: Call, error: UnrollError | None) -> dict[str, object]:
    """Return what is known of the model, the session, its step, and the times of its phases."""
    fields: dict[str, object] = {"model": None, "session": None, **call.progress}
    if error is not None and error.step is not None:
        fields["step"] = error.step
    if call.phases is not None and (milliseconds := call.phases.milliseconds()):
        fields["phases"] = milliseconds
    return fields


def _status(call: Call, error: UnrollError | None) -> int:
    if call.departed:
        return CLIENT_GONE
    return 200 if error is None else http_status_of(error)


def _level(route: str, status: int, code: str | None) -> int:
    if route in UNLOGGED_ROUTES or code in UNLOGGED_CODES:
        return logging.DEBUG
    return logging.WARNING if status >= 500 else logging.INFO


def silence_library() -> None:
    """Keep grpcio from logging calls that it cannot read, which would show parts of keys, and from printing tracebacks.

    `CallRunner` logs the calls that are read, and their failures.
    """
    logging.getLogger(cygrpc.__name__).setLevel(logging.CRITICAL)
    # It prints one where the client of such a call has gone.
    cygrpc.traceback = SimpleNamespace(**{**vars(traceback), "print_exc": lambda: None})
