"""Responses that stream a generation as Server-Sent Events, in the format of any protocol."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.application.sessions.serializers import StepResponse, encode
from service.application.token_stream import TokenStream
from service.domain.errors import CRASHED, InternalError, UnrollError
from service.domain.operations import GeneratedToken, Json
from service.http.errors import envelope, with_effect
from service.http.json_response import StepAnswer
from service.http.middleware.disconnects import DisconnectWatcher

log = logging.getLogger(__name__)

#: Time without an event after which a comment is sent, so that no proxy takes the connection for idle.
HEARTBEAT_SECONDS = 15.0
HEARTBEAT: Final = b": heartbeat\n\n"
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # nginx would collect the events before it passes them on.
    (b"x-accel-buffering", b"no"),
]

AnswerT = TypeVar("AnswerT")
AnswerT_contra = TypeVar("AnswerT_contra", contravariant=True)


class EventFormat(Protocol[AnswerT_contra]):
    """The events of a protocol, as bytes that end with an empty line."""

    def tokens(self, tokens: Sequence[GeneratedToken]) -> bytes:
        """Return the events of the next tokens."""

    def done(self, answer: AnswerT_contra) -> bytes:
        """Return the last events of a generation that has succeeded. Raises UnrollError."""

    def error(self, error: UnrollError) -> bytes:
        """Return the last events of a generation that has failed after its start."""


class EventStreamResponse(Response, Generic[AnswerT]):
    """Response that streams the tokens of a generation as they come.

    The response starts with the first token. An error before it is raised, and answered as that of any request; a later
    one ends the stream with an error event. A client that disconnects ends the generation at its next timestep, and is
    counted with status 499.
    """

    media_type = "text/event-stream"

    def __init__(self, stream: TokenStream[AnswerT], events: EventFormat[AnswerT]) -> None:
        super().__init__()
        self._stream = stream
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response. Raises UnrollError before its start, ClientDisconnect after it."""
        sender = _Sender(send)
        try:
            last = await self._send_stream(receive, sender)
            if isinstance(answer := self._stream.answer, StepResponse):
                scope["state"]["progress"] = StepAnswer(answer)
        except Exception as error:
            if not sender.started or isinstance(error, ClientDisconnect):
                raise
            last = self._events.error(with_effect(_to_domain(error), scope))
        await sender.send(last, more=False)

    async def _send_stream(self, receive: Receive, sender: "_Sender") -> bytes:
        """Send the head and the tokens; return the last events."""
        async with self._stream as stream:
            await sender.start(_replay_headers(stream))
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a request runs in a task
            watcher = DisconnectWatcher(receive, task)
            try:
                while (tokens := await stream.take(HEARTBEAT_SECONDS)) is not None:
                    await sender.send(self._events.tokens(tokens) if tokens else HEARTBEAT)
            except asyncio.CancelledError:
                if watcher.gone:
                    task.uncancel()
                    raise ClientDisconnect from None
                raise
            finally:
                watcher.stop()
        # A worker that stops may have interrupted the loop when the answer was there.
        return self._events.tokens(stream.rest()) + self._events.done(stream.answer)


class _Sender:
    """Sends the parts of a response whose length is not known."""

    def __init__(self, send: Send) -> None:
        self.started = False
        self._send = send

    async def start(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *headers]})

    async def send(self, events: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": events, "more_body": more})


class NativeEvents:
    """Events of the service's own protocol: `token`, `done` with the whole answer, `error` with the envelope."""

    def tokens(self, tokens: Sequence[GeneratedToken]) -> bytes:
        return b"".join(_event(b"token", encode(_token(token))) for token in tokens)

    def done(self, answer: "dict[str, Json] | StepResponse") -> bytes:
        body = answer.body if isinstance(answer, StepResponse) else encode(answer)
        return _event(b"done", body)

    def error(self, error: UnrollError) -> bytes:
        return _event(b"error", encode(envelope(error)))


def _token(token: GeneratedToken) -> dict[str, Json]:
    return {"token": token.token, "text": token.text, "logprob": token.logprob}


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, data)


def _replay_headers(stream: TokenStream[Any]) -> list[tuple[bytes, bytes]]:
    answer = stream.answer if stream.succeeded else None
    replayed = isinstance(answer, StepResponse) and answer.replayed
    return [(b"unroll-replayed", b"true")] if replayed else []


def _to_domain(error: Exception) -> UnrollError:
    if isinstance(error, UnrollError):
        return error
    log.error("stream crashed", exc_info=error)
    return InternalError(f"{CRASHED} (X-Request-Id)")
