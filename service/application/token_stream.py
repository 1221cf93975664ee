"""Streams of generated tokens: the tokens of one generation as they come, then its answer.

`Predictions.stream` and `Steps.stream` return streams, for the routes of every protocol:

    async with services.predictions.stream(context, model, version, operation) as stream:
        async for token in stream:  # a GeneratedToken: the token, the text that it adds, its log-probability
            ...
    answer = stream.answer  # what `predict_one`, `apply` or `peek` returns

Entering the block waits for the first token, or for the answer if nothing is generated. An error before that is raised
there, so that a route can respond with its status. Later errors are raised by the iteration or at the end of the block.
Tokens are provisional until the block has ended without an error: only then is a step committed.

The texts, tokens and log-probabilities of all tokens together are those of the answer. Tokens that may become part of a
stop text are held back until it is clear that they do not, and so are the bytes of a character that is not complete.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from service.application.deadlines import DEPARTED
from service.domain.errors import StepConflict
from service.domain.operations import GeneratedToken, align_tokens

AnswerT = TypeVar("AnswerT")


class TokenBuffer:
    """Receives the tokens of one generation from the engine, and keeps them.

    `started` is the time on the monotonic clock at which the stream was requested.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.tokens: list[GeneratedToken] = []
        self._taken = 0
        self._arrival: asyncio.Future[None] | None = None

    @property
    def has_tokens(self) -> bool:
        """Whether any token has come yet. The client may have read them."""
        return bool(self.tokens)

    def put(self, tokens: Sequence[GeneratedToken]) -> None:
        """Add tokens, and wake whoever waits for them."""
        if tokens:
            self.tokens += tokens
            self.wake()

    def take(self) -> list[GeneratedToken]:
        """Return the tokens that were not returned before."""
        tokens = self.tokens[self._taken :]
        self._taken = len(self.tokens)
        return tokens

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until there are tokens to take, `wake` is called or `seconds` have passed."""
        if self._taken == len(self.tokens):
            loop = asyncio.get_running_loop()
            self._arrival = loop.create_future()
            # asyncio.wait takes five times as long, for every token of every stream.
            timer = None if seconds is None else loop.call_later(seconds, self.wake)
            try:
                await self._arrival
            finally:
                if timer is not None:
                    timer.cancel()

    def wake(self) -> None:
        """End a wait."""
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


@dataclass(frozen=True, slots=True)
class IndexedReceiver:
    """Receives the tokens of one of several generations that share a buffer."""

    buffer: TokenBuffer
    index: int

    @property
    def started(self) -> float:
        """The time at which the stream was requested."""
        return self.buffer.started

    @property
    def has_tokens(self) -> bool:
        """Whether any token of any of the generations has come yet."""
        return self.buffer.has_tokens

    def put(self, tokens: Sequence[GeneratedToken]) -> None:
        """Add tokens to the buffer with the index of their generation."""
        self.buffer.put([replace(token, index=self.index) for token in tokens])


class TokenStream(Generic[AnswerT]):
    """Stream of the tokens of one generation. Enter it once, as an asynchronous context manager.

    Leaving the block early, or cancelling it with DEPARTED, drops the generation at its next timestep; a session stays
    at its last committed step. Another cancellation of the block means that this worker stops: the block raises
    ShuttingDown, whose `applied` is that of the step, unless the answer is there.

    Args:
        started: the time at which the stream was requested.
        generate: coroutine function that generates into the buffer and returns the answer.
    """

    def __init__(self, started: float, generate: Callable[[TokenBuffer], Coroutine[Any, Any, AnswerT]]) -> None:
        self._generate = generate
        self._buffer = TokenBuffer(started)
        self._task: asyncio.Task[AnswerT]

    @property
    def ended(self) -> bool:
        """Whether the generation has ended. There may be tokens left to take."""
        return self._task.done()

    @property
    def succeeded(self) -> bool:
        """Whether there is an answer."""
        return self.ended and not self._task.cancelled() and self._task.exception() is None

    @property
    def answer(self) -> AnswerT:
        """The answer of a generation that has ended. Raises the error of one that has failed."""
        return self._task.result()

    async def take(self, seconds: float | None = None) -> list[GeneratedToken] | None:
        """Wait for tokens and return all that have come; an empty list after `seconds`, None at the end.

        Raises the error of a generation that has failed.
        """
        if not self.ended:
            await self._buffer.wait(seconds)
        tokens = self._buffer.take()
        if tokens or not self.ended:
            return tokens
        self._task.result()
        return None

    def rest(self) -> list[GeneratedToken]:
        """Return the tokens that have come, without waiting."""
        return self._buffer.take()

    async def __aiter__(self) -> AsyncIterator[GeneratedToken]:
        while (tokens := await self.take()) is not None:
            for token in tokens:
                yield token

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._generate(self._buffer))
        self._task.add_done_callback(lambda _: self._buffer.wake())
        try:
            await self._buffer.wait()
        except asyncio.CancelledError as error:
            await self._interrupt(error)
        if self.ended and not self._buffer.has_tokens:
            self._task.result()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, asyncio.CancelledError):
            await self._interrupt(error)
            return True
        if not self.ended:
            await self._cancel(DEPARTED)
        return False

    async def _interrupt(self, error: asyncio.CancelledError) -> None:
        """End the generation of a cancelled block; return if the answer is there. Raises `error` or ShuttingDown."""
        await self._cancel(*error.args)
        if DEPARTED in error.args or self._task.cancelled():
            raise error
        self._task.result()

    async def _cancel(self, *reason: object) -> None:
        self._task.cancel(*reason)
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # else asyncio would log that it was never retrieved


def replay_tokens(answer: bytes, buffer: TokenBuffer) -> None:
    """Put the tokens of a stored StepResult into a buffer, but for those that it has already.

    Raises StepConflict if those are not the tokens of the answer: another worker applied the same request meanwhile.
    """
    output = json.loads(answer)["output"]
    count, text = len(buffer.tokens), "".join(token.text for token in buffer.tokens)
    if [token.token for token in buffer.tokens] != output["tokens"][:count] or not output["text"].startswith(text):
        raise StepConflict(
            "the request was applied by another worker meanwhile, with other tokens than those of this stream: repeat "
            "it for their answer",
            applied="yes",
        )
    buffer.put(align_tokens(output["text"][len(text) :], output["tokens"][count:], output["logprobs"][count:]))
