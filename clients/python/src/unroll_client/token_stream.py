"""Streams of generated tokens that survive a broken connection."""

from collections import deque
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from unroll_client.answers import Token
from unroll_client.commands import Sleep
from unroll_client.decoding import decode
from unroll_client.error_answers import error_of_envelope
from unroll_client.errors import StreamChanged, UnrollError
from unroll_client.events import Event, EventStream, OpenEvents, ReadEvents, close_events
from unroll_client.flow import Flow, awaiting, blocking, execute
from unroll_client.retry import Attempts, Service
from unroll_client.transport import Request

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)


class Generating(Protocol[AnswerT_co]):
    """The generation behind a stream: the request, and what follows from its outcome."""

    service: Service

    def start(self) -> Flow[Attempts]:
        """Prepare the first attempt."""

    def request(self) -> Request:
        """Return the request, the same each time."""

    def succeed(self, body: object) -> AnswerT_co:
        """Note and return the answer. Raises ConnectionFailed if it belongs to another request."""

    def fail(self, error: UnrollError, attempts: Attempts) -> Flow[None]:
        """Note that the attempts ended with an error."""

    def end(self) -> None:
        """Note that no further attempt follows. Called at least once."""


class TokenStreamState(Generic[AnswerT]):
    """Base class of token streams. `result` is the whole answer, once the stream has ended.

    A broken stream is requested again, and the tokens that it repeats are left out.
    """

    def __init__(self, generation: Generating[AnswerT]) -> None:
        self.result: AnswerT | None = None
        self._generation = generation
        self._attempts: Attempts | None = None
        self._events: EventStream | None = None
        self._waiting: deque[Event] = deque()
        self._tokens: list[str] = []
        self._position = 0

    def _next(self) -> Flow[Token | None]:
        """Return the next token; None at the end."""
        if self._attempts is None:
            self._attempts = yield from self._generation.start()
        while self.result is None:
            try:
                if token := self._take((yield from self._next_event())):
                    return token
            except UnrollError as error:
                yield from self._retry(error, self._attempts)
        yield from self._close()
        return None

    def _close(self) -> Flow[None]:
        """Close the connection, which stops the generation."""
        self._generation.end()
        yield from self._disconnect()

    def _disconnect(self) -> Flow[None]:
        events, self._events = self._events, None
        yield from close_events(events)

    def _next_event(self) -> Flow[Event]:
        if self._events is None:
            self._waiting.clear()
            self._position = 0
            command = OpenEvents(self._generation.service.http, self._generation.request())
            self._events = yield from execute(command)
        while not self._waiting:
            self._waiting.extend((yield from execute(ReadEvents(self._events))))
        return self._waiting.popleft()

    def _take(self, event: Event) -> Token | None:
        """Return the token of an event if it is new. Raises StreamChanged, and the error of an error event."""
        if event.name == "error":
            raise error_of_envelope(event.data)
        if event.name == "done":
            self.result = self._generation.succeed(event.data)
        return self._take_token(decode(Token, event.data)) if event.name == "token" else None

    def _take_token(self, token: Token) -> Token | None:
        self._position += 1
        if self._position > len(self._tokens):
            self._tokens.append(token.token)
            return token
        if token.token != self._tokens[self._position - 1]:
            raise StreamChanged("the repeated stream has other tokens than those that were read", applied="unknown")
        return None

    def _retry(self, error: UnrollError, attempts: Attempts) -> Flow[None]:
        """Wait until the next attempt. Raises the error if there should be none."""
        yield from self._disconnect()
        attempts.fail(error)
        delay = attempts.delay(error)
        if delay is None:
            yield from self._generation.fail(error, attempts)
            self._generation.end()
            raise error
        yield from execute(Sleep(delay))


class TokenStream(TokenStreamState[AnswerT]):
    """Iterator over the tokens of a generation. They are provisional until the stream has ended.

    Leaving its `with` block, or `close()`, stops a generation that has not ended.
    """

    _read = blocking(TokenStreamState[Any]._next)
    close = blocking(TokenStreamState[Any]._close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Token:
        token = self._read()
        if token is None:
            raise StopIteration
        return token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncTokenStream(TokenStreamState[AnswerT]):
    """Asynchronous iterator over the tokens of a generation. They are provisional until the stream has ended.

    Leaving its `async with` block, or `close()`, stops a generation that has not ended.
    """

    _read = awaiting(TokenStreamState[Any]._next)
    close = awaiting(TokenStreamState[Any]._close)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Token:
        token = await self._read()
        if token is None:
            raise StopAsyncIteration
        return token

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
