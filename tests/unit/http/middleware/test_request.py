"""The request middleware of a worker that is being stopped."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.application.limits.admission import Admission
from service.application.limits.turn_quota import REQUESTS_PER_TURN
from service.http.middleware.request import RequestMiddleware, RequestSettings
from tests.fakes import CountingObserver, ManualClock

BODY = b'{"input": {"text": "the"}}'


@dataclass
class Exchange:
    """One request to the middleware around a small application, and its response."""

    admission: Admission
    path: str = "/v1/sessions/ses_1/steps"
    method: str = "POST"
    parts: list[bytes] = field(default_factory=lambda: [BODY[:9], BODY[9:]])
    reads: bool = True
    hold: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Message] = field(default_factory=list)

    async def run(self) -> None:
        middleware = RequestMiddleware(
            self._app, RequestSettings(1024, 30), self.admission, CountingObserver(), ManualClock()
        )
        length = str(sum(map(len, self.parts))).encode()
        headers = [(b"content-length", length)] if self.parts else []
        scope: Scope = {"type": "http", "method": self.method, "path": self.path, "headers": headers}
        await middleware(scope, self._receive, self._send)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while self.reads and (await receive())["more_body"]:
            pass
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def _receive(self) -> Message:
        body = self.parts.pop(0) if self.parts else b""
        return {"type": "http.request", "body": body, "more_body": bool(self.parts)}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sent[1]["body"])["error"]
        return found


@pytest.fixture
def admission() -> Admission:
    return Admission(1)


def test_a_draining_worker_serves_and_asks_its_clients_to_move(admission: Admission) -> None:
    before, while_draining = Exchange(admission), Exchange(admission)
    asyncio.run(before.run())
    admission.drain()
    asyncio.run(while_draining.run())
    assert (before.status, before.headers.get(b"connection")) == (200, None)
    assert (while_draining.status, while_draining.headers[b"connection"]) == (200, b"close")


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sessions/import", "/v1/sessions/ses_1/fork"])
def test_a_draining_worker_opens_no_session(admission: Admission, path: str) -> None:
    admission.drain()
    refused = Exchange(admission, path)
    asyncio.run(refused.run())
    assert (refused.status, refused.error["code"], refused.error["applied"]) == (503, "shutting_down", "no")
    assert (refused.headers[b"retry-after"], refused.headers[b"connection"]) == (b"1", b"close")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions"),
        ("POST", "/v1/sessions/steps"),
        ("POST", "/v1/models/m/predict"),
        ("PATCH", "/v1/sessions/x"),
    ],
)
def test_a_draining_worker_serves_all_that_opens_no_session(admission: Admission, method: str, path: str) -> None:
    admission.drain()
    served = Exchange(admission, path, method)
    asyncio.run(served.run())
    assert served.status == 200


def test_a_closed_worker_reads_the_body_of_what_it_refuses_before_it_closes(admission: Admission) -> None:
    admission.close()
    refused = Exchange(admission)
    asyncio.run(refused.run())
    assert refused.parts == []
    assert (refused.status, refused.error["applied"], refused.headers[b"connection"]) == (503, "no", b"close")


def test_a_connection_stays_open_while_its_client_still_sends(admission: Admission) -> None:
    admission.drain()
    unread = Exchange(admission, reads=False)
    asyncio.run(unread.run())
    assert unread.parts
    assert b"connection" not in unread.headers


async def test_a_step_that_is_cut_off_may_have_been_applied(admission: Admission) -> None:
    exchange = Exchange(admission, hold=asyncio.Event())
    task = asyncio.create_task(exchange.run())
    await exchange.entered.wait()
    admission.close()
    task.cancel()
    await task
    assert (exchange.status, exchange.error["code"]) == (503, "shutting_down")
    assert exchange.error["applied"] == "unknown"
    assert admission.under_way == 0


async def test_refusals_of_one_client_share_the_turns_of_the_event_loop_with_another(admission: Admission) -> None:
    admission.start("other")
    middleware = RequestMiddleware(pytest.fail, RequestSettings(1024, 30), admission, CountingObserver(), ManualClock())
    await middleware.bounds.quota.start("other")
    statuses = list[int]()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: Scope = {"type": "http", "method": "GET", "path": "/v1/models", "headers": [], "client": ("192.0.2.1", 1)}
    tasks = [asyncio.create_task(middleware({**scope}, receive, send)) for _ in range(3 * REQUESTS_PER_TURN)]
    await asyncio.sleep(0)
    assert 0 < len(statuses) <= REQUESTS_PER_TURN
    await asyncio.gather(*tasks)
    assert statuses == [503] * len(tasks)
