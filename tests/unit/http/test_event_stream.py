"""Responses of Server-Sent Events over generations that the test drives, without a server."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from service.application.sessions.serializers import StepResponse
from service.application.token_stream import TokenBuffer, TokenStream
from service.domain.errors import DeadlineExceeded, ModelNotFound
from service.domain.operations import GeneratedToken
from service.http import event_stream
from service.http.event_stream import EventStreamResponse, NativeEvents

TOKEN = GeneratedToken("I", "I", -1.5)
TOKEN_EVENT = b'event: token\ndata: {"token":"I","text":"I","logprob":-1.5}\n\n'
#: What the generations below wait for: the heartbeats that they should leave time for.
PAUSE = 0.05


class Exchange:
    """One request and what was sent in response to it."""

    def __init__(self, path: str = "/v1/models/tiny/generate") -> None:
        self.scope: Scope = {"type": "http", "path": path, "state": {}}
        self.sent: list[Message] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, generate: Any) -> bytes:
        """Respond with the stream of a generation; return the body."""
        await EventStreamResponse(TokenStream(0.0, generate), NativeEvents())(self.scope, self.receive, self.send)
        assert [message.get("more_body", True) for message in self.sent] == [*[True] * (len(self.sent) - 1), False]
        return b"".join(message.get("body", b"") for message in self.sent)


async def test_tokens_are_events_and_the_answer_is_the_last_one() -> None:
    async def generate(buffer: TokenBuffer) -> dict[str, Any]:
        buffer.put([TOKEN, TOKEN])
        return {"output": {}}

    assert await Exchange().run(generate) == 2 * TOKEN_EVENT + b'event: done\ndata: {"output":{}}\n\n'


async def test_a_stored_answer_is_sent_byte_for_byte_and_marked() -> None:
    async def generate(buffer: TokenBuffer) -> StepResponse:
        buffer.put([TOKEN])
        return StepResponse(b'{"step": 1}', replayed=True)

    exchange = Exchange()
    assert await exchange.run(generate) == TOKEN_EVENT + b'event: done\ndata: {"step": 1}\n\n'
    assert (b"unroll-replayed", b"true") in exchange.sent[0]["headers"]


async def test_a_silent_generation_has_comments_in_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", PAUSE / 5)

    async def generate(buffer: TokenBuffer) -> dict[str, Any]:
        buffer.put([TOKEN])
        await asyncio.sleep(PAUSE)
        return {}

    body = await Exchange().run(generate)
    assert body.startswith(TOKEN_EVENT + b": heartbeat\n\n")
    assert body.endswith(b": heartbeat\n\nevent: done\ndata: {}\n\n")


async def test_an_error_before_the_first_token_is_raised_before_the_response_starts() -> None:
    async def generate(buffer: TokenBuffer) -> dict[str, Any]:
        await asyncio.sleep(0)
        raise ModelNotFound("no such model")

    exchange = Exchange()
    with pytest.raises(ModelNotFound):
        await exchange.run(generate)
    assert exchange.sent == []


async def test_an_error_behind_the_first_token_is_the_last_event_and_in_the_log() -> None:
    async def generate(buffer: TokenBuffer) -> dict[str, Any]:
        buffer.put([TOKEN])
        await asyncio.sleep(0)
        raise DeadlineExceeded("too late", applied="no")

    exchange = Exchange()
    body = await exchange.run(generate)
    assert body.startswith(TOKEN_EVENT + b'event: error\ndata: {"error":{"code":"deadline_exceeded"')
    assert exchange.scope["state"]["error_code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("path", "applied"), [("/v1/models/tiny/generate", b"null"), ("/v1/sessions/ses_x/generate", b'"unknown"')]
)
async def test_a_crash_is_an_internal_error_that_tells_nothing(path: str, applied: bytes) -> None:
    async def generate(buffer: TokenBuffer) -> dict[str, Any]:
        buffer.put([TOKEN])
        await asyncio.sleep(0)
        raise RuntimeError("secret")

    body = await Exchange(path).run(generate)
    assert b'"code":"internal_error"' in body
    assert b'"applied":' + applied in body
    assert b"secret" not in body


async def test_an_answer_that_is_no_json_is_an_internal_error() -> None:
    async def generate(buffer: TokenBuffer) -> dict[str, Any]:
        buffer.put([TOKEN])
        return {"output": float("nan")}

    assert b'"code":"internal_error"' in await Exchange().run(generate)


async def test_a_client_that_goes_ends_the_generation_and_the_response() -> None:
    ended: list[object] = []

    async def generate(buffer: TokenBuffer) -> dict[str, Any]:
        buffer.put([TOKEN])
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            ended.extend(error.args)
            raise
        return {}

    exchange = Exchange()
    asyncio.get_running_loop().call_later(PAUSE, exchange.gone.set)
    with pytest.raises(ClientDisconnect):
        await exchange.run(generate)
    assert ended == ["the client has gone"]
