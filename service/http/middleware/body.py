"""The request body: its deadline and its size limit."""

import asyncio
import contextlib

from starlette.types import Message, Receive

from service.application.deadlines import Deadline
from service.domain.errors import BodyTooLarge, ShuttingDown
from service.http.middleware.disconnects import DisconnectWatcher
from service.http.middleware.headers import Headers

#: How long a client whose request is refused may take to send the rest of its body.
DISCARD_SECONDS = 1.0
#: Message of the cancellation of a request whose body is late.
_LATE = "the body is late"


class RequestBody:
    """Wraps the `receive` of one request; once the body is complete, a DisconnectWatcher receives beside it.

    `complete` is true if the body was received to its end, or if the headers declare none.
    """

    __slots__ = ("_deadline", "_length", "_max_bytes", "_receive", "_received", "_watcher", "complete")

    def __init__(self, receive: Receive, headers: Headers, max_bytes: int) -> None:
        self._receive = receive
        self._length = headers.get(b"content-length", b"0")
        self.complete = self._length == b"0" and b"transfer-encoding" not in headers
        self._max_bytes = max_bytes
        self._received = 0
        self._deadline: Deadline | None = None
        self._watcher: DisconnectWatcher | None = None

    @property
    def client_gone(self) -> bool:
        """Whether the client disconnected after its body was complete and before the response started."""
        return self._watcher is not None and self._watcher.gone

    def bound(self, deadline: Deadline) -> None:
        """Receive the body by `deadline`. Raises BodyTooLarge if the declared length is over the limit."""
        if self._length.isdigit() and int(self._length) > self._max_bytes:
            raise self._too_large(f"{self._length.decode()} bytes")
        self._deadline = deadline

    def release(self) -> None:
        """Stop bounding the body and watching the client: the response has started, or the request has ended."""
        self._deadline = None
        if self._watcher is not None:
            self._watcher.stop()

    async def receive(self) -> Message:
        """Receive the next part of the body. Raises BodyTooLarge, DeadlineExceeded, ShuttingDown."""
        if self._deadline is None:
            return await self._receive()
        message = await self._receive_in_time(self._deadline)
        self.complete = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._max_bytes:
            raise self._too_large(f"{self._received} bytes or more")
        if self.complete:
            self._deadline = None
            self._watcher = DisconnectWatcher(self._receive)
        return message

    async def _receive_in_time(self, deadline: Deadline) -> Message:
        """Receive one message. Raises DeadlineExceeded, ShuttingDown."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        timer = asyncio.get_running_loop().call_later(deadline.remaining(), task.cancel, _LATE)
        try:
            return await self._receive()
        except asyncio.CancelledError as error:
            if _LATE in error.args:
                task.uncancel()
                raise deadline.exceeded("no") from None
            raise ShuttingDown("this worker had to stop before the request was done", applied="no") from None
        finally:
            timer.cancel()

    async def discard(self) -> None:
        """Receive the rest of the body and drop it, so that the connection can be closed after the response."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while not self.complete:
                    message = await self._receive()
                    self.complete = not message.get("more_body", False)

    def _too_large(self, size: str) -> BodyTooLarge:
        return BodyTooLarge(f"the body has {size}: expected at most {self._max_bytes} bytes")
