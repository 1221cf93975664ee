"""The suite's HTTP client."""

import asyncio

import pytest

from tests.chaos.http1 import Reply, pack, read_reply


def test_the_steps_of_a_request_are_told_apart_byte_for_byte() -> None:
    parts = [b'{"step":1,"output":{"text":"a,b"}}', b'{"error":{"code":"session_expired","step":null}}', b'{"step":2}']
    whole = Reply(200, b'{"results":[' + b",".join(parts) + b"]}")
    assert [one.body for one in whole.items(3)] == parts
    assert [one.status for one in whole.items(3)] == [200, 410, 200]


def test_a_refusal_of_the_whole_request_is_one_of_each_step() -> None:
    refusal = Reply(503, b'{"error":{"code":"overloaded","applied":"no"}}', retry_after=2.0)
    assert refusal.items(2) == [refusal, refusal]


def test_a_request_carries_the_key_of_its_tenant_beside_its_idempotency_key() -> None:
    request = pack("POST", "/v1/sessions", {}, "once", "client-key")
    assert b"\r\nIdempotency-Key: once\r\n" in request
    assert b"\r\nAuthorization: Bearer client-key\r\n" in request
    assert b"Authorization" not in pack("POST", "/v1/sessions", {}, "once")


TOKEN = b'event: token\ndata: {"token":"a","text":"a","logprob":-1.0}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _read(*events: bytes) -> Reply:
    reader = asyncio.StreamReader()
    reader.feed_data(HEAD + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n")
    reply, goes_on = await read_reply(reader)
    assert goes_on
    return reply


async def test_a_stream_is_the_reply_that_its_last_event_holds() -> None:
    done = b'{"output":{"text":"a","tokens":["a"]}}'
    assert await _read(TOKEN, b": heartbeat\n\n", b"event: done\ndata: " + done + b"\n\n") == Reply(
        200, done, streamed=True
    )
    error = b'{"error":{"code":"step_conflict","applied":"no"}}'
    assert await _read(TOKEN, b"event: error\ndata: " + error + b"\n\n") == Reply(409, error, streamed=True)


async def test_a_stream_of_other_tokens_than_those_of_its_answer_is_no_reply() -> None:
    with pytest.raises(AssertionError):
        await _read(TOKEN, b'event: done\ndata: {"output":{"text":"b","tokens":["b"]}}\n\n')
