"""Streams of steps of many sessions over one WebSocket."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Unpack

from unroll_client import batches
from unroll_client.batches import Item
from unroll_client.commands import Sleep
from unroll_client.error_answers import error_of_envelope
from unroll_client.errors import UnrollError
from unroll_client.flow import Flow, awaiting, blocking, execute
from unroll_client.inputs import Input, PredictOptions
from unroll_client.pending import AnswerLost
from unroll_client.pool_stream_state import NamedResult, PoolStreamState, StreamedSession
from unroll_client.retry import unexpected
from unroll_client.session_stream import append_step, each
from unroll_client.sockets import CloseSocket, OpenSocket, ReceiveText, ReceiveWithin, SendText, parse
from unroll_client.stream_blocks import AsyncStreamBlock, StreamBlock

PATH = "/v1/stream"
NamedInput = tuple[str, "Input"]


def send(stream: PoolStreamState, name: str, input: "Input", **options: Unpack[PredictOptions]) -> Flow[None]:  # noqa: A002
    """Send the next step of the session of this name. If the window is full, wait for an answer first.

    `receive` returns the result later. Raises RequestPending if the session has another request.
    """
    session = stream._sessions[name]
    while stream._is_full(session):
        yield from _progress(stream)
    streamed = stream._streamed.get(session.id) or StreamedSession.of(name, session)
    stream._streamed[session.id] = streamed
    append_step(session, input, options)
    stream._unanswered += 1
    yield from session.autosave()
    if session.id in stream._refused:
        yield from _complete_first(stream, [streamed])
        return
    if not streamed.waits:
        stream._ready[session.id] = streamed
    try:
        yield from _send_all(stream)
    except UnrollError as error:
        yield from _reconcile(stream, error)


def receive(stream: PoolStreamState) -> Flow[NamedResult]:
    """Return the name of a session and the next result of a step of it.

    The results of one session come in the order of its steps. A result is a StepResult, an AnswerLost, or the
    UnrollError of a step that failed; those behind it fail with the same error. Raises LookupError if no step is under
    way.
    """
    while not stream._results:
        if not stream._unanswered:
            raise LookupError("no step is under way: expected send() before receive()")
        yield from _progress(stream)
    return stream._results.popleft()


def close(stream: PoolStreamState) -> Flow[None]:
    """Close the connection. Steps without an answer stay pending in their sessions."""
    for streamed in list(stream._streamed.values()):
        stream._release(streamed)
    stream._unanswered = 0
    yield from _close_socket(stream)


def drain(stream: PoolStreamState) -> Flow[None]:
    """Wait until all steps have a result, then close the connection."""
    while stream._unanswered:
        yield from _progress(stream)
    yield from close(stream)


def _progress(stream: PoolStreamState) -> Flow[None]:
    """Send what is to be sent, and take the next answer or wait until a session has paused."""
    try:
        yield from _send_all(stream)
        message = yield from _receive(stream)
        if message is None:
            return
        body = parse(message)
        failed = _take(stream, _session_of(stream, body), body)
    except UnrollError as error:
        yield from _reconcile(stream, error)
        return
    if failed is not None:
        yield from _pause_or_give_up(stream, failed)


def _send_all(stream: PoolStreamState) -> Flow[None]:
    """Send the steps that were not sent over this connection; open it first if there is none."""
    if stream._socket is None:
        stream._socket = yield from execute(OpenSocket(stream._service.http, PATH))
    now = time.monotonic()
    for streamed in [item for item in stream._paused.values() if item.due is not None and item.due <= now]:
        streamed.due = None
        stream._ready[streamed.session.id] = stream._paused.pop(streamed.session.id)
    while stream._ready:
        streamed = next(iter(stream._ready.values()))
        for request in list(islice(streamed.session.requests, streamed.sent, None)):
            request.in_doubt = True
            yield from execute(SendText(stream._socket, request.frame(streamed.session.id)))
            streamed.sent += 1
        stream._ready.pop(streamed.session.id, None)


def _receive(stream: PoolStreamState) -> Flow[bytes | None]:
    """Return the next message, or None if a session has paused long enough."""
    assert stream._socket is not None  # noqa: S101 - for mypy
    due = [streamed.due for streamed in stream._paused.values() if streamed.due is not None]
    if not due:
        return (yield from execute(ReceiveText(stream._socket)))
    return (yield from execute(ReceiveWithin(stream._socket, max(0.0, min(due) - time.monotonic()))))


def _session_of(stream: PoolStreamState, body: object) -> StreamedSession:
    """Return the session of an answer. Raises UnrollError if it has none that waits for one."""
    session_id = body.get("session_id") if isinstance(body, dict) else None
    streamed = stream._streamed.get(session_id) if isinstance(session_id, str) else None
    if streamed is None or not streamed.sent:
        raise error_of_envelope(body) if session_id is None else unexpected(f"session {session_id}")
    return streamed


def _take(stream: PoolStreamState, streamed: StreamedSession, body: object) -> StreamedSession | None:
    """Take an answer. Returns the session if its step has failed, and all steps behind it are answered.

    Raises UnrollError if the answer belongs to another step.
    """
    if isinstance(body, dict) and "error" in body:
        streamed.failure = streamed.failure or error_of_envelope(body)
        streamed.sent -= 1
        return None if streamed.sent else streamed
    if streamed.failure is not None:
        raise unexpected("a step behind one that failed was applied")
    session = streamed.session
    result = session.requests[0].parse_step(session.id, body)
    streamed.sent -= 1
    session.succeed(result)
    stream._add(streamed, result)
    return None


def _pause_or_give_up(stream: PoolStreamState, streamed: StreamedSession) -> Flow[None]:
    """Let a session whose step has failed pause before it repeats the step, or note that it failed for good."""
    session = streamed.session
    error, delay = streamed.fail()
    if delay is not None:
        streamed.due = time.monotonic() + delay
        stream._ready.pop(session.id, None)
        stream._paused[session.id] = streamed
        return
    steps = len(session.requests)
    assert streamed.attempts is not None  # noqa: S101 - for mypy
    yield from session.fail(error, streamed.attempts)
    stream._give_up(streamed, error, steps)


def _reconcile(stream: PoolStreamState, error: UnrollError) -> Flow[None]:
    """Complete the first step of each session by requests, after the connection has failed with `error`."""
    yield from _close_socket(stream)
    yield from execute(Sleep(stream._service.retry.delay(1, error.retry_after)))
    yield from _complete_first(stream, list(stream._streamed.values()))


def _complete_first(stream: PoolStreamState, sessions: Sequence[StreamedSession]) -> Flow[None]:
    """Complete the first step of these sessions by requests, and what was applied behind it."""
    while sessions:
        steps = {item.name: len(item.session.requests) for item in sessions}
        items = [Item(item.name, item.session, item.session.requests[0]) for item in sessions]
        results = yield from batches.complete(stream._service, items)
        for item in sessions:
            result = results[item.name]
            if isinstance(result, UnrollError):
                stream._give_up(item, result, steps[item.name])
            else:
                stream._add(item, result)
        sessions = [item for item in sessions if isinstance(results[item.name], AnswerLost)]


def _close_socket(stream: PoolStreamState) -> Flow[None]:
    socket = stream._disconnect()
    if socket is not None:
        yield from execute(CloseSocket(socket))


class PoolStream(StreamBlock, PoolStreamState):
    """Steps of many sessions over one WebSocket: `with pool.stream() as stream`.

    Leaving the block waits for the results of all steps; if an exception leaves it, they stay pending in their
    sessions.
    """

    send = blocking(send)
    receive = blocking(receive)
    close = blocking(close)
    drain = blocking(drain)

    def steps(self, inputs: Iterable[NamedInput], **options: Unpack[PredictOptions]) -> Iterator[NamedResult]:
        """Send a step for each name and input, and yield the names and results."""
        for name, value in inputs:
            self.send(name, value, **options)
            while self._results or self._unanswered >= self.window:
                yield self.receive()
        while self.under_way:
            yield self.receive()


class AsyncPoolStream(AsyncStreamBlock, PoolStreamState):
    """Steps of many sessions over one WebSocket: `async with pool.stream() as stream`.

    Leaving the block waits for the results of all steps; if an exception leaves it, they stay pending in their
    sessions.
    """

    send = awaiting(send)
    receive = awaiting(receive)
    close = awaiting(close)
    drain = awaiting(drain)

    async def steps(
        self, inputs: Iterable[NamedInput] | AsyncIterable[NamedInput], **options: Unpack[PredictOptions]
    ) -> AsyncIterator[NamedResult]:
        """Send a step for each name and input, and yield the names and results."""
        async for name, value in each(inputs):
            await self.send(name, value, **options)
            while self._results or self._unanswered >= self.window:
                yield await self.receive()
        while self.under_way:
            yield await self.receive()
