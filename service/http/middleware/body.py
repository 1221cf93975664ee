"""The request body: its deadline and its size limit."""

import asyncio
import contextlib
from typing import Any, TypeAlias

from starlette.types import Message, Receive

from service.application.deadlines import Deadline, DeadlineSweeper
from service.domain.errors import BodyTooLarge, ShuttingDown, UnrollError
from service.http.middleware import disconnects
from service.http.middleware.disconnects import DisconnectWatcher
from service.http.middleware.headers import Headers

#: How long a client whose request is refused may take to send the rest of its body.
DISCARD_SECONDS = 1.0
#: Message of the cancellation of a request whose body is late.
_LATE = "the body is late"

BodySweeper: TypeAlias = "DeadlineSweeper[RequestBody]"


class RequestBody:
    """Wraps the `receive` of one request; some time after the body is complete, a DisconnectWatcher receives beside it.

    `complete` is true if the body was received to its end, or if the headers declare none. `deadline` is the time on
    the monotonic clock at which `sweeper` calls `expire`.
    """

    __slots__ = (
        "_length", "_max_bytes", "_receive", "_received", "_request", "_sweeper", "_time_limit", "_watcher",
        "complete", "deadline",
    )  # fmt: skip

    def __init__(self, receive: Receive, headers: Headers, max_bytes: int, sweeper: BodySweeper) -> None:
        self._receive = receive
        self._length = headers.get(b"content-length", b"0")
        self.complete = self._length == b"0" and b"transfer-encoding" not in headers
        self._max_bytes = max_bytes
        self._sweeper = sweeper
        self._received = 0
        self._time_limit: Deadline | None = None
        self._watcher: DisconnectWatcher | None = None

    @property
    def client_gone(self) -> bool:
        """Whether the client disconnected after its body was complete and before the response started."""
        return self._watcher is not None and self._watcher.gone

    def bound(self, time_limit: Deadline) -> None:
        """Receive the body by `time_limit`. Raises BodyTooLarge if the declared length is over the limit."""
        if self._length.isdigit() and int(self._length) > self._max_bytes:
            raise self._too_large(f"{self._length.decode()} bytes")
        self._time_limit = time_limit
        self._request: asyncio.Task[Any] | None = asyncio.current_task()
        self.deadline = time_limit.at

    def release(self) -> None:
        """Stop bounding the body and watching the client: the response has started, or the request has ended."""
        self._time_limit = None
        self._sweeper.discard(self)
        if self._watcher is not None:
            self._watcher.stop()

    async def receive(self) -> Message:
        """Receive the next part of the body. Raises BodyTooLarge, DeadlineExceeded, ShuttingDown."""
        time_limit = self._time_limit
        if time_limit is None:
            return await self._receive()
        self._sweeper.add(self)
        try:
            message = await self._receive()
        except asyncio.CancelledError as error:
            raise self._interruption(error, time_limit) from None
        finally:
            self._sweeper.discard(self)
        self.complete = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._max_bytes:
            raise self._too_large(f"{self._received} bytes or more")
        if self.complete:
            self._time_limit = None
            self.deadline = time_limit.clock.monotonic() + disconnects.WATCH_DELAY_SECONDS
            self._sweeper.add(self)
        return message

    def expire(self) -> None:
        """Cancel the request because its body is late, or watch for a disconnect if its body is complete."""
        assert self._request is not None  # noqa: S101 - `bound` is called by a task
        if self._time_limit is None:
            self._watcher = DisconnectWatcher(self._receive, self._request)
        else:
            self._request.cancel(_LATE)

    def _interruption(self, error: asyncio.CancelledError, time_limit: Deadline) -> UnrollError:
        """Return the error of a request that was cancelled while its body was received."""
        if _LATE not in error.args:
            return ShuttingDown("this worker had to stop before the request was done", applied="no")
        assert self._request is not None  # noqa: S101 - `expire` has cancelled it
        self._request.uncancel()
        return time_limit.exceeded("no")

    async def discard(self) -> None:
        """Receive the rest of the body and drop it, so that the connection can be closed after the response."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while not self.complete:
                    message = await self._receive()
                    self.complete = not message.get("more_body", False)

    def _too_large(self, size: str) -> BodyTooLarge:
        return BodyTooLarge(f"the body has {size}: expected at most {self._max_bytes} bytes")
