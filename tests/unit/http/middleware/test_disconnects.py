"""A client goes away while its request is under way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.application.deadlines import DEPARTED, Deadline
from service.application.limits.admission import Admission
from service.domain.errors import ShuttingDown
from service.http.middleware import disconnects
from service.http.middleware.error_responses import CLIENT_GONE
from service.http.middleware.request import RequestMiddleware, RequestSettings
from tests.fakes import CountingObserver, ManualClock

Work = Callable[[], Awaitable[None]]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnects, "WATCH_DELAY_SECONDS", 0.0)


@dataclass
class Connection:
    """A request whose client sends `parts` and goes when `leave` is set, and its answer.

    When that begins `receive` tells the same, as uvicorn does when it ends.
    """

    work: Work
    parts: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    reading: bool = False
    more: bool = True
    admission: Admission = field(default_factory=lambda: Admission(1))
    observer: CountingObserver = field(default_factory=CountingObserver)
    sent: list[Message] = field(default_factory=list)

    async def run(self) -> None:
        middleware = RequestMiddleware(
            self._app, RequestSettings(1024, 30), self.admission, self.observer, ManualClock()
        )
        headers = [(b"transfer-encoding", b"chunked")]
        await middleware(
            {"type": "http", "method": "POST", "path": "/v1/x", "headers": headers}, self._receive, self._send
        )

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.run())

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await self.work()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def _receive(self) -> Message:
        assert not self.reading, "two read at the same time"
        self.reading = True
        try:
            if self.more:
                part = await self.parts.get()
                self.more = part is not None
                return {"type": "http.request", "body": part or b"", "more_body": self.more}
            self.watched.set()
            await self.leave.wait()
            return {"type": "http.disconnect"}
        finally:
            self.reading = False

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.leave.set()
        await others()
        await others()

    async def upload(self, *parts: bytes) -> None:
        for part in (*parts, None):
            await self.parts.put(part)

    @property
    def requests(self) -> dict[str, int]:
        return {name: count for name, count in self.observer.counts.items() if name.startswith("request")}


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(bounded())


async def others() -> list[Any]:
    """The tasks beside this one, when what is due has had its turn."""
    await asyncio.sleep(0)
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_what_nobody_waits_for_is_cancelled_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    cut_off: list[object] = []

    async def work() -> None:
        try:
            async with Deadline.after(ManualClock(), 60).enforce():
                await asyncio.Event().wait()
        except BaseException as error:
            cut_off.append(error)
            raise

    async def scene() -> None:
        connection = Connection(work)
        request = connection.start()
        await connection.upload(b"{}")
        await connection.watched.wait()
        connection.leave.set()
        await request
        assert connection.sent == []
        assert connection.requests == {f"request unmatched {CLIENT_GONE}": 1}
        assert connection.observer.counts["in flight"] == connection.admission.under_way == 0
        assert await others() == []

    play(scene)
    assert isinstance(cut_off.pop(), asyncio.CancelledError)
    (line,) = (record for record in caplog.records if record.message == "request")
    assert (line.levelno, line.__dict__["status"]) == (logging.INFO, CLIENT_GONE)


def test_nobody_else_reads_while_the_body_comes_in() -> None:
    async def work() -> None:
        await connection.watched.wait()

    async def scene() -> None:
        request = connection.start()
        for _ in range(20):
            await connection.parts.put(b"x")
            await asyncio.sleep(0)
        await connection.upload()
        await request
        assert connection.requests == {"request unmatched 200": 1}
        assert await others() == []

    connection = Connection(work)
    play(scene)


def test_an_answer_that_has_begun_is_not_cut_off() -> None:
    async def work() -> None:
        await connection.watched.wait()

    async def scene() -> None:
        request = connection.start()
        await connection.upload(b"{}")
        await request
        assert [message["type"] for message in connection.sent] == ["http.response.start", "http.response.body"]
        assert connection.requests == {"request unmatched 200": 1}
        assert await others() == []

    connection = Connection(work)
    play(scene)


def test_a_worker_that_must_go_still_answers_a_client_that_is_watched() -> None:
    async def work() -> None:
        async with Deadline.after(ManualClock(), 60).enforce():
            await asyncio.Event().wait()

    async def scene() -> None:
        connection = Connection(work)
        request = connection.start()
        await connection.upload(b"{}")
        await connection.watched.wait()
        request.cancel()
        await request
        assert connection.requests == {"request unmatched 503": 1}
        assert connection.observer.counts["shed shutting_down"] == 1
        assert await others() == []

    play(scene)


@pytest.mark.parametrize(("message", "becomes"), [(DEPARTED, asyncio.CancelledError), (None, ShuttingDown)])
def test_only_a_departure_passes_a_deadline_as_it_is(message: str | None, becomes: type[BaseException]) -> None:
    async def wait() -> None:
        async with Deadline.after(ManualClock(), 60).enforce():
            await asyncio.gather(asyncio.Event().wait(), asyncio.Event().wait())

    async def scene() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel(message)
        with pytest.raises(becomes):
            await task

    play(scene)
