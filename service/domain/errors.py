"""Exceptions of the service: all errors that are reported to clients, in one tree.

    UnrollError
      InvalidRequest        IdempotencyKeyReused, OutOfVocabulary, InputTooLong, BodyTooLarge, InvalidJson,
                            UnsupportedMediaType
      NotFound              ModelNotFound, VersionNotFound, SessionNotFound, MethodNotAllowed
      Unauthorized          MissingApiKey, InvalidApiKey
      NotAllowed
      RateLimited
      Gone                  SessionExpired, SessionEnded, ModelVersionGone
      StepConflict
      Unavailable           Overloaded, StoreUnavailable, StoreFull, DurabilityNotReached, ShuttingDown,
                            ModelNotReady, DeadlineExceeded
      InternalError         StateCorrupted

Any layer raises them; `service/http/errors.py` alone maps them to status codes. `ModelFolderError` and `SettingsError`
are for operators: the first refuses a model version, the second ends the start.
"""

from typing import ClassVar, Final, Literal, Self

Applied = Literal["no", "yes", "unknown"]


class UnrollError(Exception):
    """Base class of all errors that are reported to clients. An error is an immutable value.

    `message` names the field, the value found and the value expected. `applied` states whether a session step took
    effect, and `step` the session's current step count. `retry_after` is in seconds.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        applied: Applied | None = None,
        step: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message: Final = message
        self.param: Final = param
        self.applied: Final = applied
        self.step: Final = step
        self.retry_after: Final = retry_after

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute once. Python itself may replace its own, such as `__traceback__`."""
        if name in vars(self):
            raise AttributeError(f"{type(self).__name__}.{name} is read-only")
        super().__setattr__(name, value)

    def with_applied(self, applied: Applied) -> Self:
        """Return a copy with another `applied` and the same traceback.

        Raise it with `from error.__cause__`, so that the original does not appear as its context.
        """
        return self._copy(self.message, self.param, applied)

    def with_message(self, message: str, param: str | None) -> Self:
        """Return a copy with another `message` and `param`, see `with_applied`."""
        return self._copy(message, param, self.applied)

    def _copy(self, message: str, param: str | None, applied: Applied | None) -> Self:
        copy = type(self)(message, param=param, applied=applied, step=self.step, retry_after=self.retry_after)
        return copy.with_traceback(self.__traceback__)


class InvalidRequest(UnrollError):
    """A field of the request is missing, unknown, out of range or meant for another task."""

    code = "invalid_request"


class InvalidJson(InvalidRequest):
    """The body is not JSON."""

    code = "invalid_json"


class UnsupportedMediaType(InvalidRequest):
    """The body's Content-Type is not the one that the route accepts."""

    code = "unsupported_media_type"


class BodyTooLarge(InvalidRequest):
    """The body is longer than the limit."""

    code = "body_too_large"


class InputTooLong(InvalidRequest):
    """The input has more tokens or observations than the limit."""

    code = "input_too_long"


class OutOfVocabulary(InvalidRequest):
    """A token id lies outside the model's vocabulary."""

    code = "out_of_vocabulary"


class IdempotencyKeyReused(InvalidRequest):
    """The idempotency key of an earlier request was sent with another body."""

    code = "idempotency_key_reused"


class NotFound(UnrollError):
    """The path does not exist."""

    code = "not_found"


class MethodNotAllowed(NotFound):
    """The path exists, but not with this method."""

    code = "method_not_allowed"


class ModelNotFound(NotFound):
    """No model of that name is served."""

    code = "model_not_found"


class VersionNotFound(NotFound):
    """The model is served, but this version is not."""

    code = "version_not_found"


class SessionNotFound(NotFound):
    """This service did not create the session id for this client."""

    code = "session_not_found"


class Unauthorized(UnrollError):
    """Base class of errors about API keys."""

    code = "invalid_api_key"


class MissingApiKey(Unauthorized):
    """API keys are configured, and the request has none."""

    code = "missing_api_key"


class InvalidApiKey(Unauthorized):
    """The request's API key is not configured."""

    code = "invalid_api_key"


class NotAllowed(UnrollError):
    """The request comes from a web page or a host that may not use this service, or its tenant may not do this."""

    code = "not_allowed"


class RateLimited(UnrollError):
    """The client exceeded one of its limits. `retry_after` is the time until it may try again."""

    code = "rate_limited"


class Gone(UnrollError):
    """Base class of errors about resources that existed before."""

    code = "session_expired"


class SessionExpired(Gone):
    """The session id is valid and its record is gone: expired, or lost with its store."""

    code = "session_expired"


class SessionEnded(Gone):
    """The client ended the session within the last 24 hours."""

    code = "session_ended"


class ModelVersionGone(Gone):
    """The session's model version is no longer served, or was changed in place."""

    code = "model_version_gone"


class StepConflict(UnrollError):
    """The session's step count is not the expected one, or later steps followed the one with this idempotency key."""

    code = "step_conflict"


class Unavailable(UnrollError):
    """Base class of temporary failures, after which a client should try again later."""

    code = "overloaded"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        applied: Applied | None = None,
        step: int | None = None,
        retry_after: int | None = 1,
    ) -> None:
        super().__init__(message, param=param, applied=applied, step=step, retry_after=retry_after)


class Overloaded(Unavailable):
    """The worker has as many requests in progress as it admits, or the estimated wait is too long."""

    code = "overloaded"


class StoreUnavailable(Unavailable):
    """The store cannot be reached, or did not reply in time."""

    code = "store_unavailable"


class StoreFull(Unavailable):
    """The store refuses writes for lack of memory."""

    code = "store_full"


class DurabilityNotReached(Unavailable):
    """The write took effect, but did not reach its durability level in time."""

    code = "durability_not_reached"


#: The message of a request that a worker could not finish before it stopped.
STOPPED = "this worker had to stop before the request was done"


class ShuttingDown(Unavailable):
    """The worker is shutting down."""

    code = "shutting_down"


class ModelNotReady(Unavailable):
    """The worker cannot run the model version now."""

    code = "model_not_ready"


class DeadlineExceeded(Unavailable):
    """The request's deadline passed before its answer."""

    code = "deadline_exceeded"


#: The message of an unexpected failure of a request.
CRASHED = "something failed here; the log tells why under this request's id"


class InternalError(UnrollError):
    """An unexpected failure of the service. The log has it under the request's id."""

    code = "internal_error"


class StateCorrupted(InternalError):
    """The session's record cannot be decoded. It is kept for inspection."""

    code = "state_corrupted"


class WriteConflict(Exception):
    """Another writer changed a session's record first. It is not reported to clients: the step is computed again."""


class ModelFolderError(Exception):
    """A model folder or checkpoint is invalid. The message names the location, the value found and the one expected."""


class DiffersFromGolden(ModelFolderError):
    """A network computes other numbers than golden vectors have.

    `difference` is the one that is furthest off for its size, and `ratio` relates it to the allowed one.
    """

    def __init__(self, message: str, name: str, difference: float, ratio: float) -> None:
        super().__init__(message)
        self.name, self.difference, self.ratio = name, difference, ratio


class SettingsError(Exception):
    """A setting is invalid. The message names its key, its value and what is expected."""


class ReloadedFileError(SettingsError):
    """A file that is read again while the service runs cannot be used. It could be once, and may be again."""

    subject = "file"
