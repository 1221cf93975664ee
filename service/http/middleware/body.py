"""The request body: its deadline, the rate at which it must arrive, and its size limit."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from service.application.deadlines import Deadline, DeadlineSweeper
from service.application.limits.admission import Permit
from service.application.limits.request_cost import RequestCost
from service.domain.errors import STOPPED, BodyTooLarge, DeadlineExceeded, ShuttingDown, UnrollError
from service.http.middleware import disconnects
from service.http.middleware.disconnects import DisconnectWatcher
from service.http.middleware.headers import Headers

#: How long a client whose request is refused may take to send the rest of its body.
DISCARD_SECONDS = 1.0
#: Message of the cancellation of a request whose body is late.
_LATE = "the body is late"

BodySweeper: TypeAlias = "DeadlineSweeper[RequestBody]"


class BodyLimits(NamedTuple):
    """Limits of a body. After `grace_seconds` it must have arrived at `min_bytes_per_second`, on average."""

    max_bytes: int
    min_bytes_per_second: int = 500
    grace_seconds: float = 10.0


class RequestBody:
    """Wraps the `receive` of one request; some time after the body is complete, a DisconnectWatcher receives beside it.

    `complete` is true if the body was received to its end, or if the headers declare none. `broken` is true if it will
    never be, because it was late or cannot be parsed. `deadline` is the time on the monotonic clock at which `sweeper`
    calls `expire`. `state` is the state of the request's scope, where the connection puts the error `body_error`.
    """

    __slots__ = (
        "_cost", "_length", "_limits", "_permit", "_receive", "_received", "_request", "_state", "_sweeper",
        "_time_limit", "_watcher", "broken", "complete", "deadline",
    )  # fmt: skip

    def __init__(
        self, receive: Receive, headers: Headers, limits: BodyLimits, sweeper: BodySweeper, state: Mapping[str, Any]
    ) -> None:
        self._receive = receive
        self._length = headers.get(b"content-length", b"0")
        self.complete = self._length == b"0" and b"transfer-encoding" not in headers
        self.broken = False
        self._limits = limits
        self._sweeper = sweeper
        self._state = state
        self._received = 0
        self._time_limit: Deadline | None = None
        self._watcher: DisconnectWatcher | None = None

    @property
    def client_gone(self) -> bool:
        """Whether the client disconnected after its body was complete and before the response started."""
        return self._watcher is not None and self._watcher.gone

    @property
    def declared_bytes(self) -> int:
        """The length that the headers declare; 0 if they declare none."""
        return int(self._length) if self._length.isdigit() else 0

    def bound(self, time_limit: Deadline, permit: Permit, cost: RequestCost) -> None:
        """Receive the body by `time_limit`, and add its size to `cost`; `permit` begins to run when it is complete.

        Raises BodyTooLarge if the declared length is over the limit.
        """
        if self.declared_bytes > self._limits.max_bytes:
            raise self._too_large(f"{self._length.decode()} bytes")
        self._time_limit = time_limit
        self._permit, self._cost = permit, cost
        self._request: asyncio.Task[Any] | None = asyncio.current_task()
        self.deadline = self._due(time_limit)

    def release(self) -> None:
        """Stop bounding the body and watching the client: the response has started, or the request has ended."""
        self._time_limit = None
        self._sweeper.discard(self)
        if self._watcher is not None:
            self._watcher.stop()

    async def receive(self) -> Message:
        """Receive the next part of the body.

        Raises BodyTooLarge, DeadlineExceeded, ShuttingDown, and the `body_error` of the connection; RateLimited and
        Overloaded if there is no memory for it, or if it is complete and cannot run.
        """
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
        size = len(message.get("body", b""))
        self._received += size
        if self._received > self._limits.max_bytes:
            raise self._too_large(f"{self._received} bytes or more")
        self._cost.add_memory(size)
        if self.complete:
            self._time_limit = None
            self.deadline = time_limit.clock.monotonic() + disconnects.WATCH_DELAY_SECONDS
            self._sweeper.add(self)
            self._permit.run()
        else:
            self._check_rest(time_limit)
        return message

    async def read(self) -> bytes:
        """Receive the whole body. Raises as `receive`, and ClientDisconnect."""
        parts: list[bytes] = []
        while not self.complete:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
        return b"".join(parts)

    def unread(self, content: bytes) -> None:
        """Have the whole body received again, within new bounds."""
        self.release()
        receive, unread = self._receive, [content]

        async def receive_again() -> Message:
            return {"type": "http.request", "body": unread.pop()} if unread else await receive()

        self._receive = receive_again
        self._received, self.complete = 0, False

    def expire(self) -> None:
        """Cancel the request because its body is late, or watch for a disconnect if its body is complete."""
        assert self._request is not None  # noqa: S101 - `bound` is called by a task
        if self._time_limit is None:
            self._watcher = DisconnectWatcher(self._receive, self._request)
        else:
            self._request.cancel(_LATE)

    def _check_rest(self, time_limit: Deadline) -> None:
        """Set the time for the next part of the body. Raises the error for which there is none."""
        self.deadline = self._due(time_limit)
        if "body_error" in self._state:
            self.broken = True
            raise self._state["body_error"]

    def _due(self, time_limit: Deadline) -> float:
        """Return the time by which the next part must arrive: the deadline, or when the rate would be missed."""
        granted = self._limits.grace_seconds + self._received / self._limits.min_bytes_per_second
        return time_limit.at - max(0.0, time_limit.budget - granted)

    def _interruption(self, error: asyncio.CancelledError, time_limit: Deadline) -> UnrollError:
        """Return the error of a request that was cancelled while its body was received."""
        if _LATE not in error.args:
            return ShuttingDown(STOPPED, applied="no")
        assert self._request is not None  # noqa: S101 - `expire` has cancelled it
        self._request.uncancel()
        self.broken = True
        return self._too_slow() if time_limit.remaining() else time_limit.exceeded("no")

    async def discard(self) -> None:
        """Receive the rest of the body and drop it, so that the connection can be closed after the response."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while not (self.complete or self.broken):
                    message = await self._receive()
                    self.complete = not message.get("more_body", False)

    def _too_slow(self) -> DeadlineExceeded:
        _, rate, grace = self._limits
        return DeadlineExceeded(
            f"{self._received} bytes of the body have arrived: expected at least {rate} a second after {grace:g} s",
            applied="no",
        )

    def _too_large(self, size: str) -> BodyTooLarge:
        return BodyTooLarge(f"the body has {size}: expected at most {self._limits.max_bytes} bytes")
