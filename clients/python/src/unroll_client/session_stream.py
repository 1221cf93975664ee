"""Streams of steps of a session over a WebSocket."""

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Unpack

from unroll_client import session_flows
from unroll_client.answers import StepResult
from unroll_client.commands import Sleep
from unroll_client.error_answers import error_of_envelope
from unroll_client.errors import ConnectionFailed, StepConflict, UnrollError
from unroll_client.flow import Flow, awaiting, blocking, execute
from unroll_client.inputs import Input, PredictOptions, to_input, to_options
from unroll_client.pending import MAX_WINDOW, AnswerLost, PendingRequest
from unroll_client.session_state import SessionState
from unroll_client.sockets import CloseSocket, OpenSocket, ReceiveText, SendText, Socket, parse
from unroll_client.stream_blocks import AsyncStreamBlock, StreamBlock

Result = StepResult | AnswerLost


class SessionStreamState:
    """Base class of streams of steps: up to `window` steps are under way without an answer.

    If the connection breaks, the first step without an answer is completed by requests, which tells where the session
    is. Then the stream connects again and repeats what is left.
    """

    def __init__(self, session: SessionState, window: int) -> None:
        if not 1 <= window <= MAX_WINDOW:
            raise ValueError(f"window is {window}: expected 1 to {MAX_WINDOW}")
        self.session = session
        self.window = window
        with ExitStack() as held:
            held.enter_context(session.exclusive())
            session.require_no_request()
            self._held = held.pop_all()
        self._socket: Socket | None = None
        self._sent: deque[PendingRequest] = deque()
        self._results: deque[Result] = deque()

    @property
    def under_way(self) -> int:
        """The number of steps whose answers were not received yet."""
        return len(self._results) + len(self.session.requests)


def append_step(session: SessionState, input: "Input", options: PredictOptions) -> None:  # noqa: A002
    """Append a step behind those of a session that have no answer yet."""
    step = session.step_count + len(session.requests)
    session.requests.append(PendingRequest("steps", {"input": to_input(input), "step": step, **to_options(options)}))


def send(stream: SessionStreamState, input: "Input", **options: Unpack[PredictOptions]) -> Flow[None]:  # noqa: A002
    """Send the next step. If the window is full, wait for an answer first; `receive` returns it later."""
    session = stream.session
    while len(session.requests) >= stream.window:
        stream._results.append((yield from _next_result(stream)))
    append_step(session, input, options)
    yield from session.autosave()
    try:
        yield from _send_all(stream)
    except UnrollError as error:
        stream._results.append((yield from _complete_first(stream, error)))


def receive(stream: SessionStreamState) -> Flow[Result]:
    """Return the next answer, in the order of the steps.

    Raises LookupError if no step is under way. Raises the error of a step that failed; if it was not applied, neither
    were the steps behind it.
    """
    if stream._results:
        return stream._results.popleft()
    if not stream.session.requests:
        raise LookupError("no step is under way: expected send() before receive()")
    return (yield from _next_result(stream))


def close(stream: SessionStreamState) -> Flow[None]:
    """Close the connection. Steps without an answer stay pending in the session."""
    stream._held.close()
    yield from _disconnect(stream)


def drain(stream: SessionStreamState) -> Flow[None]:
    """Wait until all steps have an answer, then close the connection."""
    try:
        while stream.session.requests:
            stream._results.append((yield from _next_result(stream)))
    finally:
        stream._held.close()
    yield from _disconnect(stream)


def _next_result(stream: SessionStreamState) -> Flow[Result]:
    """Return the answer to the first step without one."""
    try:
        yield from _send_all(stream)
        assert stream._socket is not None  # noqa: S101 - for mypy
        body = parse((yield from execute(ReceiveText(stream._socket))))
        if isinstance(body, dict) and "error" in body:
            raise error_of_envelope(body)
        result = stream.session.requests[0].parse_json(stream.session.id, body)
    except UnrollError as error:
        return (yield from _complete_first(stream, error))
    assert isinstance(result, StepResult)  # noqa: S101 - for mypy
    stream.session.succeed(result)
    stream._sent.popleft()
    return result


def _send_all(stream: SessionStreamState) -> Flow[None]:
    """Send the steps that were not sent over this connection; open it first if there is none."""
    if stream._socket is None:
        command = OpenSocket(stream.session.service.http, f"{stream.session.path}/stream")
        stream._socket = yield from execute(command)
    for request in list(stream.session.requests)[len(stream._sent) :]:
        request.in_doubt = True
        yield from execute(SendText(stream._socket, request.frame()))
        stream._sent.append(request)


def _complete_first(stream: SessionStreamState, error: UnrollError) -> Flow[Result]:
    """Complete the first step by requests, after the connection has failed with `error`."""
    yield from _disconnect(stream)
    session, request = stream.session, stream.session.requests[0]
    attempts = session.attempts(request)
    if isinstance(error, ConnectionFailed) or error.temporary:
        attempts.fail(error)
        delay = attempts.delay(error)
        if delay is None:
            yield from session.fail(error, attempts)
            raise error
        yield from execute(Sleep(delay))
    elif not (isinstance(error, StepConflict) and error.applied == "yes"):
        yield from session.fail(error, attempts)
        raise error
    answer = yield from session_flows.complete(session, request, attempts)
    if answer is None:
        return AnswerLost(session.id, session.step_count)
    assert isinstance(answer, StepResult)  # noqa: S101 - for mypy
    return answer


def _disconnect(stream: SessionStreamState) -> Flow[None]:
    socket, stream._socket = stream._socket, None
    stream._sent.clear()
    if socket is not None:
        yield from execute(CloseSocket(socket))


class SessionStream(StreamBlock, SessionStreamState):
    """Steps of a session over a WebSocket: `with session.stream() as stream`.

    Leaving the block waits for the answers to all steps; if an exception leaves it, they stay pending in the session.
    """

    send = blocking(send)
    receive = blocking(receive)
    close = blocking(close)
    drain = blocking(drain)

    def steps(self, inputs: "Iterable[Input]", **options: Unpack[PredictOptions]) -> Iterator[Result]:
        """Send a step for each input, and yield the answers in order."""
        for value in inputs:
            self.send(value, **options)
            if self.under_way >= self.window:
                yield self.receive()
        while self.under_way:
            yield self.receive()


class AsyncSessionStream(AsyncStreamBlock, SessionStreamState):
    """Steps of a session over a WebSocket: `async with session.stream() as stream`.

    Leaving the block waits for the answers to all steps; if an exception leaves it, they stay pending in the session.
    """

    send = awaiting(send)
    receive = awaiting(receive)
    close = awaiting(close)
    drain = awaiting(drain)

    async def steps(
        self, inputs: "Iterable[Input] | AsyncIterable[Input]", **options: Unpack[PredictOptions]
    ) -> AsyncIterator[Result]:
        """Send a step for each input, and yield the answers in order."""
        async for value in each(inputs):
            await self.send(value, **options)
            if self.under_way >= self.window:
                yield await self.receive()
        while self.under_way:
            yield await self.receive()


async def each(inputs: "Iterable[Any] | AsyncIterable[Any]") -> AsyncIterator[Any]:
    """Iterate over what is iterable in either way."""
    if isinstance(inputs, AsyncIterable):
        async for value in inputs:
            yield value
    else:
        for value in inputs:
            yield value
