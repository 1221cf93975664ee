"""The body of a request has until the request's deadline to arrive."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from service.application.deadlines import Deadline, DeadlineSweeper
from service.application.limits.admission import Admission
from service.application.limits.request_cost import UNBOUNDED
from service.domain.errors import BodyTooLarge, DeadlineExceeded, InvalidJson, ShuttingDown
from service.http.middleware.body import BodyLimits, RequestBody
from tests.fakes import ManualClock


class Upload:
    """A client that sends parts when it is told to, and the body that the worker receives of it."""

    def __init__(self, declared: bytes = b"4") -> None:
        self.clock = ManualClock()
        self.state: dict[str, Any] = {}
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        sweeper = DeadlineSweeper(self.clock.monotonic, RequestBody.expire)
        self.body = RequestBody(
            self.parts.get,
            {b"content-length": declared},
            BodyLimits(8, min_bytes_per_second=1, grace_seconds=40),
            sweeper,
            self.state,
        )

    async def send(self, part: bytes, *, more: bool) -> None:
        await self.parts.put({"type": "http.request", "body": part, "more_body": more})

    async def receive_all(self, seconds: float = 30) -> bytes:
        permit = Admission(1).acquire("", has_body=True)
        self.body.bound(Deadline.after(self.clock, seconds), permit, UNBOUNDED.request(""))
        received = b""
        while not self.body.complete:
            received += (await self.body.receive())["body"]
        return received

    async def begin(self, seconds: float = 30) -> "asyncio.Task[bytes]":
        task = asyncio.create_task(self.receive_all(seconds))
        await asyncio.sleep(0)
        return task


async def test_a_body_in_parts_is_received_whole() -> None:
    upload = Upload()
    receiving = await upload.begin()
    await upload.send(b"ab", more=True)
    await upload.send(b"cd", more=False)
    assert await receiving == b"abcd"


async def test_a_body_that_is_late_ends_its_request() -> None:
    upload = Upload()
    receiving = await upload.begin()
    await upload.send(b"ab", more=True)
    upload.clock.seconds += 30
    with pytest.raises(DeadlineExceeded) as late:
        await receiving
    assert late.value.applied == "no"
    assert receiving.cancelling() == 0


async def test_a_body_that_arrives_too_slowly_ends_its_request() -> None:
    upload = Upload()
    receiving = await upload.begin(600)
    upload.clock.seconds += 39
    await upload.send(b"ab", more=True)
    await asyncio.sleep(0.1)
    upload.clock.seconds += 2.5
    await asyncio.sleep(0.1)
    assert not receiving.done(), "two bytes are worth two seconds"
    upload.clock.seconds += 1
    with pytest.raises(DeadlineExceeded, match=r"2 bytes of the body .* at least 1 a second") as late:
        await receiving
    assert late.value.applied == "no"
    assert upload.body.broken


async def test_a_body_that_cannot_be_read_ends_its_request() -> None:
    upload = Upload(declared=b"?")
    receiving = await upload.begin()
    upload.state["body_error"] = InvalidJson("no chunk size")
    await upload.send(b"", more=True)
    with pytest.raises(InvalidJson, match="no chunk size"):
        await receiving
    assert upload.body.broken


async def test_a_worker_that_stops_says_of_an_unfinished_body_that_nothing_was_applied() -> None:
    upload = Upload()
    receiving = await upload.begin()
    receiving.cancel()
    with pytest.raises(ShuttingDown) as stopped:
        await receiving
    assert stopped.value.applied == "no"


async def test_a_request_whose_body_is_complete_is_not_cut_off_as_late() -> None:
    upload = Upload()

    async def receive_and_work() -> bytes:
        received = await upload.receive_all()
        upload.clock.seconds += 60
        await asyncio.sleep(0.1)
        upload.body.release()
        return received

    task = asyncio.create_task(receive_and_work())
    await upload.send(b"abcd", more=False)
    assert await task == b"abcd"
    assert not upload.body.client_gone


async def test_a_body_longer_than_allowed_is_refused_before_and_while_it_arrives() -> None:
    with pytest.raises(BodyTooLarge, match="9 bytes"):
        await Upload(declared=b"9").receive_all()
    undeclared = Upload(declared=b"?")
    await undeclared.send(b"x" * 9, more=True)
    with pytest.raises(BodyTooLarge, match="9 bytes or more"):
        await undeclared.receive_all()
