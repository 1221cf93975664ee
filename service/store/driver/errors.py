"""Translation of connection failures and error replies into the service's errors.

    no connection         ReplyLost(sent=False)  -> StoreUnavailable, applied "no"
    no reply              ReplyLost(sent=True)   -> StoreUnavailable, applied "unknown"
    OOM, disk full        -> StoreFull, applied "no"
    WRONGTYPE             -> StateCorrupted
    any other error reply -> StoreUnavailable, applied "no"   (READONLY, LOADING, MASTERDOWN, NOAUTH, NOPERM, ...)

For reads, `applied` stays None. Clients see these messages, so none contains the driver's text, which names hosts
and users.
"""

from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from service.domain.errors import Applied, StateCorrupted, StoreFull, StoreUnavailable, UnrollError


class ReplyLost(Exception):
    """Lost reply to a command. `sent` is true if the server may have received the command."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent

    @classmethod
    def by(cls, cause: Exception, *, sent: bool) -> "ReplyLost":
        """Return the loss caused by an error of the driver."""
        # The driver's own methods raise its ConnectionError in place of an OSError, its parser and uvloop do not.
        name = "ConnectionError" if isinstance(cause, OSError | RuntimeError) else type(cause).__name__
        lost = cls("timed out" if "Timeout" in type(cause).__name__ else name, sent=sent)
        lost.__cause__ = cause
        return lost


def translate(error: Exception, *, writes: bool) -> UnrollError:
    """Return a new error of the service for an error reply or a lost reply."""
    translated = _translated(error, "no" if writes else None, "unknown" if writes else None)
    translated.__cause__ = error
    return translated


def _translated(error: Exception, no: Applied | None, unknown: Applied | None) -> UnrollError:
    if isinstance(error, ReplyLost):
        return StoreUnavailable(f"the store did not answer: {error.reason}", applied=unknown if error.sent else no)
    # Before Redis 7, an OOM within a script comes with another prefix.
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in str(error):
        return StoreFull("the store refuses writes for lack of memory", applied=no)
    # MISCONF of a server that cannot write its append-only file.
    if "No space left on device" in str(error):
        return StoreFull("the store refuses writes for lack of space on its disk", applied=no)
    if str(error).startswith("WRONGTYPE"):
        return StateCorrupted("the session's key holds another type of value, expected a string")
    return StoreUnavailable(f"the store refuses commands: {_reason(error)}", applied=no)


def _reason(error: Exception) -> str:
    code = str(error).partition(" ")[0]
    if type(error) in (RedisError, ResponseError) and code.isalpha() and code.isupper():
        return code
    return type(error).__name__
