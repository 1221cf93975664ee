"""gRPC statuses of the domain errors, and the metadata that describes them."""

from grpc import StatusCode

from service.application.ports import CallTrace
from service.domain import errors
from service.domain.errors import UnrollError

STATUS: dict[type[UnrollError], StatusCode] = {
    errors.UnrollError: StatusCode.INTERNAL,
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.InvalidJson: StatusCode.INVALID_ARGUMENT,
    errors.UnsupportedMediaType: StatusCode.INVALID_ARGUMENT,
    errors.BodyTooLarge: StatusCode.RESOURCE_EXHAUSTED,
    errors.InputTooLong: StatusCode.INVALID_ARGUMENT,
    errors.OutOfVocabulary: StatusCode.INVALID_ARGUMENT,
    errors.IdempotencyKeyReused: StatusCode.INVALID_ARGUMENT,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.MethodNotAllowed: StatusCode.UNIMPLEMENTED,
    errors.ModelNotFound: StatusCode.NOT_FOUND,
    errors.VersionNotFound: StatusCode.NOT_FOUND,
    errors.SessionNotFound: StatusCode.NOT_FOUND,
    errors.Unauthorized: StatusCode.UNAUTHENTICATED,
    errors.MissingApiKey: StatusCode.UNAUTHENTICATED,
    errors.InvalidApiKey: StatusCode.UNAUTHENTICATED,
    errors.NotAllowed: StatusCode.PERMISSION_DENIED,
    errors.RateLimited: StatusCode.RESOURCE_EXHAUSTED,
    errors.Gone: StatusCode.FAILED_PRECONDITION,
    errors.SessionExpired: StatusCode.FAILED_PRECONDITION,
    errors.SessionEnded: StatusCode.FAILED_PRECONDITION,
    errors.ModelVersionGone: StatusCode.FAILED_PRECONDITION,
    errors.StepConflict: StatusCode.ABORTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.Overloaded: StatusCode.UNAVAILABLE,
    errors.StoreUnavailable: StatusCode.UNAVAILABLE,
    errors.StoreFull: StatusCode.UNAVAILABLE,
    errors.DurabilityNotReached: StatusCode.UNAVAILABLE,
    errors.ShuttingDown: StatusCode.UNAVAILABLE,
    errors.ModelNotReady: StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.InternalError: StatusCode.INTERNAL,
    errors.StateCorrupted: StatusCode.DATA_LOSS,
}

#: The HTTP status under which metrics and the access log have each status.
HTTP_STATUS: dict[StatusCode, int] = {
    StatusCode.OK: 200,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ABORTED: 409,
    StatusCode.FAILED_PRECONDITION: 410,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.CANCELLED: 499,
    StatusCode.INTERNAL: 500,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}

#: The longest message of an error. Clients refuse metadata of more than 8 KiB, where it may take three times as much.
MAX_MESSAGE = 2000

Metadata = tuple[tuple[str, str], ...]


def status_of(error: UnrollError) -> StatusCode:
    """Return the gRPC status of an error."""
    return STATUS[type(error)]


def http_status_of(error: UnrollError) -> int:
    """Return the HTTP status under which an error is counted."""
    return HTTP_STATUS[status_of(error)]


def end_trace(
    trace: CallTrace, error: UnrollError | None, tenant: str | None = None, *, departed: bool = False
) -> None:
    """End the trace of a call or message that had no error, or this one, or whose client has gone before its end."""
    status = StatusCode.OK if error is None else status_of(error)
    number: int = (StatusCode.CANCELLED if departed else status).value[0]
    trace.end(number, None if error is None else error.code, tenant)


def metadata_of(error: UnrollError) -> Metadata:
    """Return the trailing metadata of a call that failed: the fields of an error envelope, and when to try again."""
    fields = {
        "unroll-code": error.code,
        "unroll-param": error.param,
        "unroll-applied": error.applied,
        "unroll-step": error.step,
        "retry-after": error.retry_after,
        "grpc-retry-pushback-ms": None if error.retry_after is None else 1000 * error.retry_after,
    }
    return tuple((name, _printable(str(value))) for name, value in fields.items() if value is not None)


def _printable(value: str) -> str:
    """Return a value as metadata may carry it."""
    return "".join(character if " " <= character <= "~" else "?" for character in value[:200])
