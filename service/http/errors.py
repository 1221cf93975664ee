"""HTTP statuses of the domain errors, and the JSON envelope in which errors are answered."""

import re
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Scope

from service.application.sessions.serializers import encode
from service.domain import errors
from service.domain.errors import UnrollError
from service.domain.operations import Json

#: Paths whose errors say whether the step took effect.
STEP_PATH = re.compile(r"/v1/sessions/(?:[^/]+/)?(?:steps|generate|reset)")

#: Paths whose errors are `{"error": message}`, as their protocols have them.
PLAIN_ERROR_PATH = re.compile(r"/v2(?:/.*)?|/translate|/languages|/detect", re.DOTALL)
#: Paths of LibreTranslate, which has few statuses.
LIBRETRANSLATE_PATHS = frozenset({"/translate", "/languages", "/detect"})
#: Statuses that LibreTranslate has, or that its paths have as all others do.
_KEPT_STATUSES = frozenset({400, 403, 404, 405, 429, 500})

STATUS: dict[type[UnrollError], int] = {
    errors.UnrollError: 500,
    errors.InvalidRequest: 422,
    errors.InvalidJson: 400,
    errors.UnsupportedMediaType: 415,
    errors.BodyTooLarge: 413,
    errors.InputTooLong: 413,
    errors.OutOfVocabulary: 422,
    errors.IdempotencyKeyReused: 422,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.ModelNotFound: 404,
    errors.VersionNotFound: 404,
    errors.SessionNotFound: 404,
    errors.Unauthorized: 401,
    errors.MissingApiKey: 401,
    errors.InvalidApiKey: 401,
    errors.NotAllowed: 403,
    errors.RateLimited: 429,
    errors.Gone: 410,
    errors.SessionExpired: 410,
    errors.SessionEnded: 410,
    errors.ModelVersionGone: 410,
    errors.StepConflict: 409,
    errors.Unavailable: 503,
    errors.Overloaded: 503,
    errors.StoreUnavailable: 503,
    errors.StoreFull: 503,
    errors.DurabilityNotReached: 503,
    errors.ShuttingDown: 503,
    errors.ModelNotReady: 503,
    errors.DeadlineExceeded: 503,
    errors.InternalError: 500,
    errors.StateCorrupted: 500,
}


def status_of(error: UnrollError) -> int:
    """Return the HTTP status of an error."""
    return STATUS[type(error)]


def status_at(error: UnrollError, path: str) -> int:
    """Return the HTTP status of an error in a response at `path`, as its protocol has it."""
    status = status_of(error)
    if path not in LIBRETRANSLATE_PATHS or status in _KEPT_STATUSES:
        return status
    if isinstance(error, errors.Unauthorized):
        return HTTPStatus.FORBIDDEN
    return HTTPStatus.INTERNAL_SERVER_ERROR if status > HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.BAD_REQUEST


def envelope(error: UnrollError) -> dict[str, Json]:
    """Return the error as the JSON body of a response under `/v1`."""
    status = status_of(error)
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {
        "error": {
            "code": error.code,
            "type": kind,
            "message": error.message,
            "param": error.param,
            "applied": error.applied,
            "step": error.step,
        }
    }


def body_for(error: UnrollError, path: str) -> dict[str, Json]:
    """Return the error as the JSON body of a response at `path`, in the format of its protocol."""
    return {"error": error.message} if PLAIN_ERROR_PATH.fullmatch(path) else envelope(error)


def with_effect(error: UnrollError, scope: Scope) -> UnrollError:
    """Return an error that states of a step whether it took effect, and note code and step for the access log.

    A step that was refused before it reached its session was not applied.
    """
    state = scope.setdefault("state", {})
    state["error_code"] = error.code
    if error.step is not None:
        state["error_step"] = error.step
    if error.applied is None and STEP_PATH.fullmatch(scope["path"]):
        return error.with_applied("unknown" if isinstance(error, errors.InternalError) else "no")
    return error


def error_response(error: UnrollError, scope: Scope) -> Response:
    """Return the response to a request that failed, see `with_effect`."""
    error = with_effect(error, scope)
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, errors.Unauthorized):
        headers["www-authenticate"] = "Bearer"
    path = scope["path"]
    return Response(encode(body_for(error, path)), status_at(error, path), headers, media_type="application/json")
