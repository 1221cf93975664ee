"""Whatever a request holds, the fast routes answer as FastAPI alone would."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from service.application.limits.admission import Admission
from service.application.sessions.request_digest import digest
from service.application.sessions.serializers import StepResponse
from service.application.sessions.step_item import Step
from service.application.time_slices import TurnSlices
from service.domain.errors import SessionNotFound, StepConflict
from service.http.app import create_api
from service.http.fast_routes import FastRouteMiddleware
from service.http.middleware.request import RequestMiddleware, RequestSettings
from tests.fakes import CountingObserver, ManualClock

STEP, MANY, PREDICT = "/v1/sessions/ses_x/steps", "/v1/sessions/steps", "/v1/models/m/predict"
GOOD = {"input": {"text": "a"}, "step": 0}


class EchoServices:
    """Use cases that answer with what they were asked, or refuse it."""

    async def apply(self, caller: Any, step: Step) -> StepResponse:
        if step.session_id == "ses_gone":
            raise SessionNotFound("no session")
        return StepResponse(self._echo(step), replayed=step.key == "again")

    async def apply_all(self, caller: Any, steps: list[Step]) -> list[StepResponse | StepConflict]:
        return [StepResponse(self._echo(step)) if step.step != 7 else StepConflict("at 8", step=8) for step in steps]

    async def predict_one(self, caller: Any, model: str, version: str | None, operation: Any) -> dict[str, Any]:
        return {"asked": [model, version, repr(operation)]}

    async def predict_many(self, caller: Any, model: str, version: str | None, operations: list[Any]) -> dict[str, Any]:
        return {"asked": [model, version], "outputs": [repr(operation) for operation in operations]}

    def _echo(self, step: Step) -> bytes:
        return json.dumps([repr(step), digest("step", step.operation, step.step).hex()]).encode()


def app(*, fast: bool) -> ASGIApp:
    echo = EchoServices()
    api = create_api()
    api.state.services = SimpleNamespace(steps=echo, predictions=echo, slices=TurnSlices())
    settings = RequestSettings(max_body_bytes=65_536, request_timeout_seconds=5)
    return RequestMiddleware(
        FastRouteMiddleware(api, api.state.services) if fast else api,
        settings,
        Admission(8),
        CountingObserver(),
        ManualClock(),
    )


async def post(
    target: ASGIApp, path: str, content: bytes, headers: list[tuple[str, str]]
) -> tuple[int, bytes, dict[str, str]]:
    transport = httpx.ASGITransport(target)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        response = await client.post(path, content=content, headers=[("x-request-id", "r"), *headers])
    return response.status_code, response.content, dict(response.headers)


def body(value: object) -> bytes:
    return json.dumps(value).encode()


JSON = ("content-type", "application/json")
EVEN = {"start": "2020-01-01T00:00:00Z", "step_seconds": 60}
CASES: list[tuple[str, bytes, list[tuple[str, str]]]] = [
    (STEP, body(GOOD), [JSON]),
    (STEP, body(GOOD), []),
    (STEP, body(GOOD), [JSON, ("idempotency-key", "again")]),
    (STEP, body(GOOD), [JSON, ("idempotency-key", "k" * 255)]),
    (STEP, body(GOOD), [JSON, ("idempotency-key", "k" * 256)]),
    (STEP, body(GOOD), [JSON, ("idempotency-key", "")]),
    (STEP, body(GOOD), [JSON, ("idempotency-key", "one"), ("idempotency-key", "two")]),
    (STEP, body(GOOD), [("content-type", "application/json; charset=utf-8")]),
    (STEP, body(GOOD), [("content-type", "Application/JSON ;charset=latin-1")]),
    (STEP, body(GOOD), [("content-type", "text/plain")]),
    ("/v1/sessions/ses_gone/steps", body(GOOD), [JSON]),
    ("/v1/sessions/ses%2Fx/steps", body(GOOD), [JSON]),
    ("/v1/sessions/ses%20x/steps?verbose=1", body(GOOD), [JSON]),
    ("/v1/sessions//steps", body(GOOD), [JSON]),
    (STEP + "/", body(GOOD), [JSON]),
    (STEP, b"", [JSON]),
    (STEP, b"null", [JSON]),
    (STEP, b"[]", [JSON]),
    (STEP, b"{", [JSON]),
    (STEP, b'\xef\xbb\xbf{"input": {"text": "a"}}', [JSON]),
    (STEP, b'{"input": {"text": "\xff"}}', [JSON]),
    (STEP, b'{"input": {"text": "\\ud800"}}', [JSON]),
    (STEP, b'{"input": {"text": "\\ud83d\\ude00"}}', [JSON]),
    (STEP, b'{"input": {"text": "a"}, "input": {"text": "b"}}', [JSON]),
    (STEP, b'{"input": {"values": [NaN]}}', [JSON]),
    (STEP, b'{"input": {"values": [1e999]}}', [JSON]),
    (STEP, b'{"input": {"values": [1, 2.5, null, -0.0, 1e-320, 0.1, 123456789.123456789]}}', [JSON]),
    (STEP, b'{"input": {"values": [9007199254740993, 340282366920938463463374607431768211456]}}', [JSON]),
    (STEP, b'{"input": {"values": [' + b"9" * 500 + b"]}}", [JSON]),
    (STEP, b'{"input": {"ids": [' + b"9" * 500 + b"]}}", [JSON]),
    (STEP, b'{"input": {"ids": [1.0]}}', [JSON]),
    (STEP, b'{"input": {"text": "a"}, "step": ' + b"1" * 30 + b"}", [JSON]),
    (STEP, b"[" * 2000 + b"]" * 2000, [JSON]),
    (STEP, body(GOOD | {"step": "0"}), [JSON]),
    (STEP, body(GOOD | {"step": True}), [JSON]),
    (STEP, body(GOOD | {"step": -1}), [JSON]),
    (STEP, body(GOOD | {"session_id": "ses_x"}), [JSON]),
    (STEP, body(GOOD | {"options": {"top_k": 3, "quantiles": [0.5]}}), [JSON]),
    (STEP, body(GOOD | {"options": {"top_k": 0}}), [JSON]),
    (STEP, body({"input": {"values": [[1, None]], "timestamps": ["2020-01-01T00:00:00Z"]}}), [JSON]),
    (STEP, body({"input": {"values": [1, 2], "timestamps": ["2020-01-01T00:00:00Z"]}}), [JSON]),
    (STEP, b" " * 5000, [JSON]),
    (MANY, body({"steps": [GOOD | {"session_id": "a"}, GOOD | {"session_id": "b", "step": 7}]}), [JSON]),
    (MANY, body({"steps": [GOOD | {"session_id": "a", "idempotency_key": "k"}]}), [JSON]),
    (MANY, body({"steps": []}), [JSON]),
    (MANY, body({"steps": [GOOD]}), [JSON]),
    (PREDICT, body({"input": {"text": "a"}}), [JSON]),
    (PREDICT, body({"inputs": [{"text": "a"}, {"ids": [1]}], "version": "2", "options": {"complete": True}}), [JSON]),
    (PREDICT, body({"input": {"text": "a"}, "inputs": [{"text": "a"}]}), [JSON]),
    (PREDICT, body({}), [JSON]),
]
LARGE = {"input": {"text": "b" * 300}}
#: Bodies whose items are validated one by one.
CASES += [
    (PREDICT, body({"inputs": [{"text": "b" * 300}] * 64}), [JSON]),
    (PREDICT, body({"inputs": [{"tokens": ["b"] * 60}, {"values": [1, None] * 30, "timestamps": EVEN}] * 40}), [JSON]),
    (PREDICT, body({"inputs": [{"text": "b" * 300}] * 63 + [{"tokens": ["b", ""]}]}), [JSON]),
    (PREDICT, body({"inputs": [{"text": "b" * 300}] * 64, "input": {"text": "b"}}), [JSON]),
    (PREDICT, body({"inputs": [{"text": "b" * 300}] * 64, "more": 1}), [JSON]),
    (PREDICT, body({"inputs": {"text": "b" * 17_000}}), [JSON]),
    (PREDICT, body(["b" * 17_000]), [JSON]),
    (PREDICT, body({"input": {"text": "b" * 17_000}}), [JSON]),
    (PREDICT, body({"inputs": [{"text": "b" * 300}] * 64}) + b"}", [JSON]),
    (PREDICT, body({"inputs": [{"text": "b"}] * 1025}), [JSON]),
    (STEP, body({"input": {"tokens": ["b"] * 4000}, "step": 1}), [JSON]),
    (STEP, body({"input": {"text": "b" * 17_000}}), [JSON, ("idempotency-key", "k" * 256)]),
    (MANY, body({"steps": [LARGE | {"session_id": "a"}] * 63 + [LARGE | {"session_id": "b", "step": 7}]}), [JSON]),
    (MANY, body({"steps": [LARGE | {"session_id": "a"}] * 63 + [LARGE]}), [JSON]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1][:40]!r} {case[2]!r:.60}")
async def test_a_fast_route_answers_as_fastapi(case: tuple[str, bytes, list[tuple[str, str]]]) -> None:
    assert await post(app(fast=True), *case) == await post(app(fast=False), *case)


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(f"{scope['path']} went to FastAPI")


async def test_a_valid_request_takes_the_fast_route() -> None:
    services = SimpleNamespace(steps=EchoServices(), predictions=EchoServices(), slices=TurnSlices())
    settings = RequestSettings(max_body_bytes=65_536, request_timeout_seconds=5)
    fast: Callable[..., Any] = FastRouteMiddleware(fail, services)  # type: ignore[arg-type]
    target = RequestMiddleware(fast, settings, Admission(8), CountingObserver(), ManualClock())
    for path, content in (
        (STEP, GOOD),
        (MANY, {"steps": [GOOD | {"session_id": "a"}]}),
        (PREDICT, {"input": {"text": "a"}}),
        (PREDICT, {"inputs": [{"text": "b" * 300}] * 64}),
    ):
        status, _, _ = await post(target, path, body(content), [JSON])
        assert status == 200
