"""Long answers are handed to the connection in parts, so that a client that does not read keeps its request waiting."""

import asyncio

import pytest
from starlette.types import Message

from service.application.deadlines import DeadlineSweeper
from service.application.limits.admission import Admission
from service.http.middleware.body import BodyLimits, RequestBody
from service.http.middleware.response import PART_BYTES, ResponseStart


async def _no_receive() -> Message:
    raise AssertionError


class Exchange:
    """A response, and the parts that the connection got of it. `reads` is set when the client reads."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.reads = asyncio.Event()
        sweeper = DeadlineSweeper(lambda: 0.0, RequestBody.expire)
        self.body = RequestBody(_no_receive, {}, BodyLimits(0), sweeper, {})
        self.response = ResponseStart(self._send, b"req_1", self.body, Admission(1))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message.get("more_body"):
            await self.reads.wait()


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 7])
async def test_parts_make_up_the_answer(size: int) -> None:
    exchange, answer = Exchange(), bytes(range(256)) * (size // 256 + 1)
    exchange.reads.set()
    await exchange.response.send({"type": "http.response.body", "body": answer[:size]})
    assert b"".join(message["body"] for message in exchange.sent) == answer[:size]
    assert all(len(message["body"]) <= PART_BYTES for message in exchange.sent)
    assert [message.get("more_body", False) for message in exchange.sent] == [True] * (len(exchange.sent) - 1) + [False]


async def test_an_answer_waits_for_its_client() -> None:
    exchange = Exchange()
    sending = asyncio.create_task(
        exchange.response.send({"type": "http.response.body", "body": bytes(5 * PART_BYTES), "more_body": True})
    )
    await asyncio.sleep(0)
    assert len(exchange.sent) == 1
    exchange.reads.set()
    await sending
    assert [message["more_body"] for message in exchange.sent] == [True] * 5


async def test_the_connection_closes_behind_a_body_that_is_broken() -> None:
    exchange = Exchange()
    exchange.body.broken = True
    await exchange.response.send({"type": "http.response.start", "status": 503, "headers": []})
    assert (b"connection", b"close") in exchange.sent[0]["headers"]
