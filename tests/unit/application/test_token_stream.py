"""A stream yields the tokens of a generation, then its answer; whatever ends it early ends the generation, too."""

import asyncio
import json

import pytest

from service.application.deadlines import DEPARTED
from service.application.token_stream import TokenBuffer, TokenStream, replay_tokens
from service.domain.errors import DeadlineExceeded, Overloaded, ShuttingDown, StepConflict
from service.domain.operations import GeneratedToken

TOKENS = [GeneratedToken("I", "I", -1.0), GeneratedToken("am", " am", -2.0)]


class Generation:
    """A generation whose tokens, end and failure the test decides."""

    def __init__(self) -> None:
        self.buffer = TokenBuffer(0.0)
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.cancelled: tuple[object, ...] | None = None
        self.stream = TokenStream(0.0, self._run)

    async def _run(self, buffer: TokenBuffer) -> str:
        self.buffer = buffer
        try:
            return await self.answer
        except asyncio.CancelledError as error:
            self.cancelled = error.args
            if DEPARTED in error.args:
                raise
            raise ShuttingDown("this worker had to stop", applied="unknown") from None


async def test_tokens_come_in_order_and_the_answer_behind_them() -> None:
    generation = Generation()
    asyncio.get_running_loop().call_later(0.01, lambda: generation.buffer.put(TOKENS[:1]))
    asyncio.get_running_loop().call_later(0.02, lambda: generation.buffer.put(TOKENS[1:]))
    asyncio.get_running_loop().call_later(0.03, lambda: generation.answer.set_result("done"))
    async with generation.stream as stream:
        tokens = [token async for token in stream]
    assert (tokens, stream.answer) == (TOKENS, "done")


async def test_the_last_tokens_are_not_lost_when_the_answer_comes_with_them() -> None:
    generation = Generation()

    def end() -> None:
        generation.buffer.put(TOKENS)
        generation.answer.set_result("done")

    asyncio.get_running_loop().call_later(0.01, end)
    async with generation.stream as stream:
        assert [token async for token in stream] == TOKENS


async def test_an_error_before_the_first_token_is_raised_on_entering() -> None:
    generation = Generation()
    generation.answer.set_exception(Overloaded("too much"))
    with pytest.raises(Overloaded):
        async with generation.stream:
            pytest.fail("the block was entered")


async def test_an_error_after_the_first_token_is_raised_behind_the_tokens() -> None:
    generation = Generation()
    asyncio.get_running_loop().call_later(0.01, lambda: generation.buffer.put(TOKENS))
    async with generation.stream as stream:
        generation.answer.set_exception(DeadlineExceeded("too late"))
        assert await stream.take() == TOKENS
        with pytest.raises(DeadlineExceeded):
            await stream.take()


async def test_a_wait_without_tokens_ends_with_none_of_them() -> None:
    generation = Generation()
    asyncio.get_running_loop().call_later(0.01, lambda: generation.buffer.put(TOKENS))
    async with generation.stream as stream:
        assert await stream.take(0.01) == TOKENS
        assert await stream.take(0.01) == []


async def test_leaving_the_block_drops_the_generation_as_one_whose_client_has_gone() -> None:
    generation = Generation()
    asyncio.get_running_loop().call_later(0.01, lambda: generation.buffer.put(TOKENS))
    async with generation.stream:
        pass
    assert generation.cancelled == (DEPARTED,)


async def _cancelled(generation: Generation, *reason: object) -> BaseException | None:
    """Stream in a task that is cancelled after the first tokens; return what it raises."""

    async def read() -> None:
        async with generation.stream as stream:
            async for _ in stream:
                pass

    asyncio.get_running_loop().call_later(0.01, lambda: generation.buffer.put(TOKENS))
    task = asyncio.create_task(read())
    await asyncio.sleep(0.03)
    task.cancel(*reason)
    (error,) = await asyncio.gather(task, return_exceptions=True)
    return error


async def test_a_client_that_goes_cancels_the_generation_and_the_block() -> None:
    generation = Generation()
    assert isinstance(await _cancelled(generation, DEPARTED), asyncio.CancelledError)
    assert generation.cancelled == (DEPARTED,)


async def test_a_worker_that_stops_ends_the_block_with_what_the_generation_says_of_its_effect() -> None:
    error = await _cancelled(Generation())
    assert isinstance(error, ShuttingDown)
    assert error.applied == "unknown"


def _answer(text: str, *tokens: str) -> bytes:
    return json.dumps({"output": {"text": text, "tokens": tokens, "logprobs": [-1.0] * len(tokens)}}).encode()


def test_a_stored_answer_is_replayed_word_by_word() -> None:
    buffer = TokenBuffer(0.0)
    replay_tokens(_answer("I am .", "I", "am", "."), buffer)
    assert [token.text for token in buffer.take()] == ["I", " am", " ."]


def test_a_replay_of_tokens_that_the_text_spells_otherwise_has_the_whole_text() -> None:
    buffer = TokenBuffer(0.0)
    replay_tokens(_answer("I am", "I", "Ġa", "m"), buffer)
    tokens = buffer.take()
    assert [token.token for token in tokens] == ["I", "Ġa", "m"]
    assert "".join(token.text for token in tokens) == "I am"


def test_a_replay_continues_a_stream_of_the_same_tokens() -> None:
    buffer = TokenBuffer(0.0)
    buffer.put(TOKENS[:1])
    replay_tokens(_answer("I am", "I", "am"), buffer)
    assert [token.text for token in buffer.take()] == ["I", " am"]


def test_a_replay_of_other_tokens_than_those_of_the_stream_is_a_conflict() -> None:
    buffer = TokenBuffer(0.0)
    buffer.put(TOKENS[:1])
    with pytest.raises(StepConflict) as caught:
        replay_tokens(_answer("You are", "You", "are"), buffer)
    assert caught.value.applied == "yes"
