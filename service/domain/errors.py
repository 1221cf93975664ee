"""Every failure that a client can be told of, as one tree.

    UnrollError
      InvalidRequest        IdempotencyKeyReused, OutOfVocabulary, InputTooLong, BodyTooLarge, InvalidJson,
                            UnsupportedMediaType
      NotFound              ModelNotFound, VersionNotFound, SessionNotFound, MethodNotAllowed
      Unauthorized          MissingApiKey, InvalidApiKey
      Gone                  SessionExpired, SessionEnded, ModelVersionGone
      StepConflict
      Unavailable           Overloaded, StoreUnavailable, StoreFull, DurabilityNotReached, ShuttingDown,
                            ModelNotReady, DeadlineExceeded
      InternalError         StateCorrupted

Raised anywhere, turned into a status in one place: `service/http/errors.py`. `ModelFolderError` and `SettingsError`
are for operators: the first marks a model version as broken, the second ends the start.
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
    """A field is missing, unknown, out of range or of the wrong task."""

    code = "invalid_request"


class InvalidJson(InvalidRequest):
    """The body is no JSON."""

    code = "invalid_json"


class UnsupportedMediaType(InvalidRequest):
    """The body's Content-Type is not the one that the route reads."""

    code = "unsupported_media_type"


class BodyTooLarge(InvalidRequest):
    """The body is longer than the server reads."""

    code = "body_too_large"


class InputTooLong(InvalidRequest):
    """The input has more tokens or observations than the limit."""

    code = "input_too_long"


class OutOfVocabulary(InvalidRequest):
    """A token id lies outside the model's vocabulary."""

    code = "out_of_vocabulary"


class IdempotencyKeyReused(InvalidRequest):
    """The key of the last request came back with another body."""

    code = "idempotency_key_reused"


class NotFound(UnrollError):
    """No such path."""

    code = "not_found"


class MethodNotAllowed(NotFound):
    """The path exists, the method does not."""

    code = "method_not_allowed"


class ModelNotFound(NotFound):
    """No model of that name is served."""

    code = "model_not_found"


class VersionNotFound(NotFound):
    """The model is served, but not in that version."""

    code = "version_not_found"


class SessionNotFound(NotFound):
    """The id was not made by this service for this client."""

    code = "session_not_found"


class Unauthorized(UnrollError):
    """Base of what is wrong with an API key."""

    code = "invalid_api_key"


class MissingApiKey(Unauthorized):
    """Keys are configured and the request has none."""

    code = "missing_api_key"


class InvalidApiKey(Unauthorized):
    """The request's key is not one of the configured ones."""

    code = "invalid_api_key"


class Gone(UnrollError):
    """Base of what was there once."""

    code = "session_expired"


class SessionExpired(Gone):
    """The id is genuine and its record is gone: expired, or lost with its store."""

    code = "session_expired"


class SessionEnded(Gone):
    """Its client ended the session within the last 24 hours."""

    code = "session_ended"


class ModelVersionGone(Gone):
    """The session's model version is no longer served, or was changed in place."""

    code = "model_version_gone"


class StepConflict(UnrollError):
    """The session does not stand at the step that the request expects, or has moved on past a known key."""

    code = "step_conflict"


class Unavailable(UnrollError):
    """Base of what a client should try again later."""

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
    """More requests are under way than the service admits."""

    code = "overloaded"


class StoreUnavailable(Unavailable):
    """The store cannot be reached, or did not answer in time."""

    code = "store_unavailable"


class StoreFull(Unavailable):
    """The store refuses writes for lack of memory."""

    code = "store_full"


class DurabilityNotReached(Unavailable):
    """The write took effect, but not enough replicas or disks confirmed it in time."""

    code = "durability_not_reached"


class ShuttingDown(Unavailable):
    """This worker is being stopped."""

    code = "shutting_down"


class ModelNotReady(Unavailable):
    """The engine cannot run the model now."""

    code = "model_not_ready"


class DeadlineExceeded(Unavailable):
    """The request's time was over before its answer."""

    code = "deadline_exceeded"


class InternalError(UnrollError):
    """Something of ours failed; the log has the request's id."""

    code = "internal_error"


class StateCorrupted(InternalError):
    """The session's record cannot be read; it is kept for inspection."""

    code = "state_corrupted"


class WriteConflict(Exception):
    """Another writer changed a session's record first; never told to a client, the step is computed again."""


class ModelFolderError(Exception):
    """A model folder or checkpoint is wrong; the message names the place, what was found and what was expected."""


class SettingsError(Exception):
    """A setting is wrong; the message names the key, the value and what was expected."""
