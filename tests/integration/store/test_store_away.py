"""The store goes away: what needs no session goes on, what needs one says so, and nothing is lost when it is back."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.store.embedded.server import EmbeddedServer
from tests.server import (
    Server,
    answered,
    assert_same_predictions,
    eventually,
    living_in,
    look_up,
    new_session,
    post,
    refusal,
    send,
    step,
)

BODY = {"input": {"text": "the dog"}}
SECONDS = 2.0
#: Method, path, body of every call that needs the store; `{s}` is a session.
NEEDING_IT: list[tuple[str, str, Any]] = [
    ("POST", "/v1/sessions", {"model": "tiny"}),
    ("GET", "/v1/sessions", None),
    ("GET", "/v1/sessions/{s}", None),
    ("PATCH", "/v1/sessions/{s}", {"ttl_seconds": 60}),
    ("DELETE", "/v1/sessions/{s}", None),
    ("POST", "/v1/sessions/{s}/steps", BODY),
    ("POST", "/v1/sessions/{s}/predict", {}),
    ("POST", "/v1/sessions/{s}/generate", {}),
    ("POST", "/v1/sessions/{s}/fork", {}),
    ("POST", "/v1/sessions/{s}/reset", {}),
    ("GET", "/v1/sessions/{s}/state", None),
]


@contextlib.contextmanager
def stopped(store: EmbeddedServer, server: Server) -> Iterator[None]:
    """The store's process has ended; afterwards it runs again, with its data."""
    store.stop()
    try:
        yield
    finally:
        store.start()
        eventually(server.is_ready)


@contextlib.contextmanager
def frozen(folder: Path, server: Server) -> Iterator[None]:
    """The store's process takes connections and answers nothing; afterwards it goes on."""
    (pid,) = living_in(folder / "store")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        eventually(server.is_ready)


def assert_told(response: httpx.Response, path: str) -> None:
    """The answer comes in time and says that the store is away and what became of a step."""
    error = refusal(response, 503, "store_unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert response.elapsed.total_seconds() < SECONDS
    if path.endswith(("/steps", "/generate", "/reset")):
        assert error["applied"] in {"no", "unknown"}


def assert_goes_on(http: httpx.Client) -> None:
    """What needs no session works."""
    assert http.get("/health/live").status_code == 200
    for name in ("predict", "score", "generate"):
        response = post(http, f"/v1/models/tiny/{name}", BODY)
        answered(response)
        assert response.elapsed.total_seconds() < 1
    assert [one["id"] for one in answered(http.get("/v1/models"))["data"]] == ["tiny"]


def assert_degraded(http: httpx.Client) -> None:
    response = http.get("/health/ready")
    assert response.status_code == 503
    assert response.elapsed.total_seconds() < SECONDS + 0.5
    report = response.json()
    assert report["status"] == "degraded"
    assert {name for name, state in report["checks"].items() if state != "ok"} == {"store"}


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_its_store_the_service_predicts_and_refuses_sessions(
    folder: Path, store: EmbeddedServer, server: Server, http: httpx.Client, how: str
) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    before = look_up(http, session)
    with stopped(store, server) if how == "stopped" else frozen(folder, server):
        for method, path, body in NEEDING_IT:
            # What came in while the store was frozen may take effect afterwards, where `applied` says "unknown".
            if how == "frozen" and method in {"DELETE", "PATCH"}:
                continue
            if how == "frozen" and path.endswith(("/steps", "/generate", "/reset")):
                continue
            assert_told(send(http, method, path.replace("{s}", session), body), path)
        assert_goes_on(http)
        assert_degraded(http)
        assert http.get("/metrics").status_code == 200
    assert look_up(http, session) == before
    whole = answered(post(http, "/v1/models/tiny/predict", {"input": {"text": "the dog is"}}))["output"]
    assert_same_predictions(answered(step(http, session, "is"))["output"], whole)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_step_refused_for_lack_of_the_store_is_applied_once_when_repeated(
    folder: Path, store: EmbeddedServer, server: Server, http: httpx.Client, how: str
) -> None:
    by_key, by_step = new_session(http), new_session(http)
    with stopped(store, server) if how == "stopped" else frozen(folder, server):
        assert_told(step(http, by_key, "the dog", key="k1"), "/steps")
        assert_told(step(http, by_step, "the dog", step=0), "/steps")
    assert answered(step(http, by_key, "the dog", key="k1"))["step"] == 1
    assert answered(step(http, by_step, "the dog", step=0))["step"] == 1
    for session in (by_key, by_step):
        now = look_up(http, session)
        assert (now["step"], now["timesteps"]) == (1, 2)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_an_import_refused_for_lack_of_the_store_makes_one_session_when_repeated(
    folder: Path, store: EmbeddedServer, server: Server, http: httpx.Client, how: str
) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    content = http.get(f"/v1/sessions/{session}/state").content
    headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": f"import-{how}"}
    with stopped(store, server) if how == "stopped" else frozen(folder, server):
        assert_told(http.post("/v1/sessions/import", content=content, headers=headers), "/import")
        refusal(http.post("/v1/sessions/import", content=content[:-1], headers=headers), 422, "invalid_request")
    first, second = (http.post("/v1/sessions/import", content=content, headers=headers) for _ in range(2))
    assert answered(first, 201) == answered(second, 201)
    assert second.headers["unroll-replayed"] == "true"
    assert answered(step(http, first.json()["id"], "is"))["step"] == 2


def test_many_steps_tell_of_the_store_one_by_one(store: EmbeddedServer, server: Server, http: httpx.Client) -> None:
    sessions = [new_session(http) for _ in range(3)]
    items = [{"session_id": session, **BODY, "idempotency_key": "k1"} for session in sessions]
    with stopped(store, server):
        response = post(http, "/v1/sessions/steps", {"steps": items})
        assert response.elapsed.total_seconds() < SECONDS
        errors = [result["error"] for result in answered(response)["results"]]
        assert [error["code"] for error in errors] == ["store_unavailable"] * 3
        assert {error["applied"] for error in errors} <= {"no", "unknown"}
    results = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
    assert [result["step"] for result in results] == [1, 1, 1]


def test_a_frozen_store_does_not_hold_a_request_past_its_deadline(
    folder: Path, server: Server, http: httpx.Client
) -> None:
    session = new_session(http)
    with frozen(folder, server):
        for method, path, body in NEEDING_IT:
            response = send(http, method, path.replace("{s}", session), body, {"X-Request-Timeout-Ms": "200"})
            assert response.status_code == 503, response.text
            assert response.json()["error"]["code"] in {"deadline_exceeded", "store_unavailable"}
            assert response.elapsed.total_seconds() < 1.0, (method, path, response.elapsed)
            if path.endswith(("/steps", "/generate", "/reset")):
                assert response.json()["error"]["applied"] in {"no", "unknown"}


def test_a_worker_starts_while_the_store_is_away(store: EmbeddedServer, server: Server, http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog", key="k1"))
    before = look_up(http, session)
    with stopped(store, server):
        (old,) = server.worker_pids()
        os.kill(old, signal.SIGKILL)
        eventually(server.is_alive, 120)
        assert server.worker_pids() != [old]
        with server.client() as fresh:
            assert_goes_on(fresh)
            assert_degraded(fresh)
            assert_told(fresh.get(f"/v1/sessions/{session}"), "")
    with server.client() as fresh:
        assert look_up(fresh, session) == before
        assert answered(step(fresh, session, "is"))["step"] == 2
