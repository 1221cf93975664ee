"""Exceptions of the client: one class for each family of error codes.

UnrollError
  ConnectionFailed
  InvalidRequest        IdempotencyKeyReused, OutOfVocabulary, InputTooLong
  Unauthorized, NotAllowed
  NotFound              ModelNotFound, VersionNotFound, SessionNotFound
  StepConflict
  Gone                  SessionExpired, SessionEnded, ModelVersionGone
  RateLimited
  Unavailable           Overloaded, StoreUnavailable, StoreFull, DurabilityNotReached, ShuttingDown, ModelNotReady,
                        DeadlineExceeded
  ServerError           StateCorrupted
  RequestPending
  StreamChanged
"""

from typing import ClassVar, Literal, Self

Applied = Literal["no", "yes", "unknown"]


class UnrollError(Exception):
    """Base class of the errors of this package.

    Attributes:
        message: names the field, the value found and the value expected.
        code: the error code of the service, or None if the answer had none.
        status: the HTTP status, or None if there was no answer.
        param: the field of the request that the error is about.
        applied: whether a step took effect: `no`, `yes` or `unknown`; None if the request was no step.
        step: the session's step count, as far as the service reported it.
        request_id: the id under which the service logged the request.
        retry_after: seconds after which the service expects a repetition.
    """

    temporary: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        param: str | None = None,
        applied: Applied | None = None,
        step: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.param = param
        self.applied = applied
        self.step = step
        self.request_id = request_id
        self.retry_after = retry_after

    def with_applied(self, applied: Applied) -> Self:
        """Set `applied` and return the error."""
        self.applied = applied
        return self

    def __str__(self) -> str:
        details = [f"{name} {value}" for name, value in self._details() if value is not None]
        return f"{self.message} ({', '.join(details)})" if details else self.message

    def _details(self) -> list[tuple[str, object]]:
        return [("code", self.code), ("applied", self.applied), ("step", self.step), ("request", self.request_id)]


class ConnectionFailed(UnrollError):
    """The service could not be reached, or the connection ended or timed out before the whole answer."""

    temporary = True


class InvalidRequest(UnrollError):
    """A field of the request is wrong, or the request is too large."""


class IdempotencyKeyReused(InvalidRequest):
    """The idempotency key of an earlier request was sent with another body."""


class OutOfVocabulary(InvalidRequest):
    """A token id lies outside the model's vocabulary."""


class InputTooLong(InvalidRequest):
    """The input has more tokens or observations than the service accepts."""


class Unauthorized(UnrollError):
    """The API key is missing or wrong."""


class NotAllowed(UnrollError):
    """This client may not use the service."""


class NotFound(UnrollError):
    """The path does not exist."""


class ModelNotFound(NotFound):
    """No model of that name is served."""


class VersionNotFound(NotFound):
    """The model is served, but this version is not."""


class SessionNotFound(NotFound):
    """The service did not create this session for this client."""


class StepConflict(UnrollError):
    """The session is at another step, given by `step`. `applied` tells whether the step of the request took effect."""


class Gone(UnrollError):
    """Base class of errors about sessions that existed before."""


class SessionExpired(Gone):
    """The session expired, or was lost with its store."""


class SessionEnded(Gone):
    """The session was deleted."""


class ModelVersionGone(Gone):
    """The session's model version is no longer served."""


class RateLimited(UnrollError):
    """This client exceeded one of its limits."""

    temporary = True


class Unavailable(UnrollError):
    """Base class of temporary failures of the service."""

    temporary = True


class Overloaded(Unavailable):
    """The service has as much work as it accepts."""


class StoreUnavailable(Unavailable):
    """The service cannot reach its store."""


class StoreFull(Unavailable):
    """The store has no memory left."""


class DurabilityNotReached(Unavailable):
    """The step was applied, but has not reached the session's durability level yet."""


class ShuttingDown(Unavailable):
    """The worker is shutting down."""


class ModelNotReady(Unavailable):
    """The model version cannot run now."""


class DeadlineExceeded(Unavailable):
    """The time limit of the request passed."""


class ServerError(UnrollError):
    """The service, or a proxy before it, failed unexpectedly."""

    temporary = True


class StateCorrupted(ServerError):
    """The session's record cannot be read. The service keeps it for inspection."""

    temporary = False


class RequestPending(UnrollError):
    """The session has another request whose outcome is unknown: call `recover()` or `resync()` first."""


class StreamChanged(UnrollError):
    """A stream broke, and its repetition has other tokens than those that were read."""


CODES: dict[str, type[UnrollError]] = {
    "idempotency_key_reused": IdempotencyKeyReused,
    "out_of_vocabulary": OutOfVocabulary,
    "input_too_long": InputTooLong,
    "model_not_found": ModelNotFound,
    "version_not_found": VersionNotFound,
    "session_not_found": SessionNotFound,
    "step_conflict": StepConflict,
    "session_expired": SessionExpired,
    "session_ended": SessionEnded,
    "model_version_gone": ModelVersionGone,
    "rate_limited": RateLimited,
    "overloaded": Overloaded,
    "store_unavailable": StoreUnavailable,
    "store_full": StoreFull,
    "durability_not_reached": DurabilityNotReached,
    "shutting_down": ShuttingDown,
    "model_not_ready": ModelNotReady,
    "deadline_exceeded": DeadlineExceeded,
    "state_corrupted": StateCorrupted,
}
STATUSES: dict[int, type[UnrollError]] = {
    401: Unauthorized,
    403: NotAllowed,
    404: NotFound,
    408: ServerError,
    409: StepConflict,
    410: Gone,
    429: RateLimited,
    503: Unavailable,
}
