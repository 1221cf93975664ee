"""Streams of tokens, against a server that answers by a script."""

import json
from typing import Any

import pytest

import unroll_client
from scripted_server import CUT, FAST, INFO, Answer, ScriptedServer, error
from unroll_client import AsyncClient, Client, Session
from unroll_client.events import EventDecoder

GENERATED = {"text": "a b", "tokens": ["a", "b"], "logprobs": [-1.0, -2.0], "finish_reason": "length"}
WHOLE = {"model": "tiny", "version": "1", "output": GENERATED, "usage": {"timesteps": 3, "generated_tokens": 2}}
STEP = {
    "session_id": "ses_a",
    "model": "tiny",
    "version": "1",
    "step": 1,
    "timesteps": 2,
    "output": GENERATED,
    "expires_at": "2026-01-01T01:00:00Z",
}


def event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def token(text: str) -> bytes:
    return event("token", {"token": text, "text": text, "logprob": -1.0})


def events(*parts: bytes, cut: int | None = None) -> Answer:
    return Answer(200, b"".join(parts), {"Content-Type": "text/event-stream"}, cut=cut)


def test_a_stream_gives_its_tokens_then_its_answer(scripted: ScriptedServer, client: Client) -> None:
    scripted.will(events(token("a"), b": heartbeat\n\n", token("b"), event("done", WHOLE)))
    with client.generate_stream("tiny", "x", max_tokens=2) as stream:
        assert [item.text for item in stream] == ["a", "b"]
    assert stream.result is not None
    assert stream.result.output.tokens == ["a", "b"]
    assert scripted.received[0].body["options"]["stream"] is True


async def test_the_asynchronous_stream_gives_the_same(scripted: ScriptedServer) -> None:
    scripted.will(events(token("a"), cut=20), events(token("a"), token("b"), event("done", WHOLE)))
    async with AsyncClient(scripted.url, retry=FAST) as client, client.generate_stream("tiny", "x") as stream:
        assert [item.text async for item in stream] == ["a", "b"]


@pytest.mark.parametrize(
    "broken",
    [
        CUT,
        events(token("a"), token("b"), cut=len(token("a")) + 3),
        events(token("a"), token("b")),
        events(token("a"), event("error", {"error": {"code": "shutting_down", "message": "", "applied": "no"}})),
        error(503, "overloaded", applied="no"),
    ],
)
def test_a_broken_stream_is_repeated_and_no_token_comes_twice(
    broken: Answer, scripted: ScriptedServer, session: Session
) -> None:
    scripted.will(broken, events(token("a"), token("b"), event("done", STEP)))
    with session.generate_stream(max_tokens=2) as stream:
        assert [item.text for item in stream] == ["a", "b"]
    _, first, second = scripted.received
    assert first.content == second.content
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body["step"] == 0
    assert "seed" in first.body["options"]
    assert session.step_count == 1
    assert session.pending is None


def test_a_repetition_with_other_tokens_is_an_error_and_the_answer_is_recovered(
    scripted: ScriptedServer, session: Session
) -> None:
    scripted.will(events(token("z")), events(token("a"), token("b"), event("done", STEP)), Answer(200, STEP))
    stream = session.generate_stream(max_tokens=2)
    assert next(stream).text == "z"
    with pytest.raises(unroll_client.StreamChanged):
        next(stream)
    (recovered,) = session.recover()
    assert isinstance(recovered, unroll_client.StepResult)
    assert recovered.output.text == "a b"  # type: ignore[union-attr]
    _, first, _, last = scripted.received
    assert first.headers["idempotency-key"] == last.headers["idempotency-key"]
    assert "stream" not in last.body["options"]


def test_a_step_that_another_worker_applied_meanwhile_can_be_recovered(
    scripted: ScriptedServer, session: Session
) -> None:
    conflict = {"error": {"code": "step_conflict", "message": "repeat it", "applied": "yes", "step": 1}}
    scripted.will(events(token("z"), event("error", conflict)), Answer(200, STEP))
    with pytest.raises(unroll_client.StepConflict), session.generate_stream() as stream:
        list(stream)
    assert len(session.recover()) == 1
    assert session.step_count == 1


def test_a_stream_that_is_left_leaves_its_step_in_doubt(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(events(token("a"), token("b"), event("done", STEP)), Answer(200, INFO))
    with session.generate_stream() as stream:
        next(stream)
    with pytest.raises(unroll_client.RequestPending):
        session.step("x")
    session.resync()
    assert session.pending is None


def test_a_session_makes_one_request_at_a_time(scripted: ScriptedServer, session: Session) -> None:
    scripted.will(events(token("a"), event("done", STEP)))
    with session.generate_stream() as stream:
        next(stream)
        with pytest.raises(unroll_client.RequestPending):
            session.step("x")
        list(stream)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_decoded_from_pieces_of_any_size(size: int) -> None:
    text = ': hello\n\nevent: token\r\ndata: {"a":\r\ndata: "\u2028"}\r\n\r\nevent: done\ndata: 1\n\n'.encode()
    decoder = EventDecoder()
    found: list[Any] = []
    for start in range(0, len(text), size):
        found += decoder.feed(text[start : start + size])
    assert [(item.name, item.data) for item in found] == [("token", {"a": "\u2028"}), ("done", 1)]
