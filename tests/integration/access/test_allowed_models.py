"""Keys that may use some models only: for them the others are not there, whatever the protocol."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.access.test_keys_file import entry, write
from tests.integration.access.worker import Answer, Client, Socket, running

WORDS = {"input": {"text": "the cat"}}
ROWS = [{"name": "TOKEN_IDS", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]}]


@pytest.fixture
async def clients(place: tuple[Path, str], tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    """A client of all models, and one of the same tenant that may use `tiny` alone."""
    folder, url = place
    write(tmp_path / "keys", entry("all", tenant="a"), entry("tiny", tenant="a", models=["tiny"]))
    settings = {"key_prefix": tmp_path.name, "api_keys_file": tmp_path / "keys", "model_admins": "a"}
    async with running(folder, url, **settings) as app:
        yield Client(app, "all"), Client(app, "tiny")


async def test_lists_leave_out_the_models_that_are_not_allowed(clients: tuple[Client, Client]) -> None:
    whole, restricted = clients
    session = await whole.session("other")
    own = await restricted.session("tiny")

    async def names(client: Client, method: str, target: str, *path: str) -> set[str]:
        found = (await client.ask(method, target)).json
        for step in path:
            found = found[step]
        return {item.get("id") or item["name"] for item in found}

    assert await names(whole, "GET", "/v1/models", "data") == {"tiny", "other"}
    assert await names(restricted, "GET", "/v1/models", "data") == {"tiny"}
    assert await names(restricted, "GET", "/v2/models/stats", "model_stats") == {"tiny"}
    assert await names(restricted, "POST", "/v2/repository/index") == {"tiny"}
    assert await names(whole, "GET", "/v1/sessions", "data") == {session, own}
    assert await names(restricted, "GET", "/v1/sessions", "data") == {own}
    assert await names(restricted, "GET", "/v1/sessions?model=other", "data") == set()


REQUESTS: list[tuple[str, str, object]] = [
    ("GET", "/v1/models/MODEL", None),
    ("GET", "/v1/models/MODEL/network", None),
    ("GET", "/v1/models/MODEL/network?version=1", None),
    ("GET", "/v1/models/MODEL/card", None),
    ("POST", "/v1/models/MODEL/predict", WORDS),
    ("POST", "/v1/models/MODEL/predict", {"inputs": [WORDS["input"]], "version": "1"}),
    ("POST", "/v1/models/MODEL/score", WORDS),
    ("POST", "/v1/models/MODEL/generate", WORDS),
    ("POST", "/v1/models/MODEL/generate", WORDS | {"options": {"stream": True}}),
    ("POST", "/v1/sessions", {"model": "MODEL"}),
    ("POST", "/v1/sessions", {"model": "MODEL", "version": "1"}),
    ("POST", "/v1/completions", {"model": "MODEL", "prompt": "the"}),
    ("GET", "/v2/models/MODEL", None),
    ("GET", "/v2/models/MODEL/versions/1", None),
    ("GET", "/v2/models/MODEL/ready", None),
    ("GET", "/v2/models/MODEL/config", None),
    ("GET", "/v2/models/MODEL/stats", None),
    ("POST", "/v2/models/MODEL/infer", {"inputs": ROWS}),
    ("POST", "/v2/models/MODEL/infer", {"inputs": ROWS, "parameters": {"sequence_id": 7, "sequence_start": True}}),
    ("POST", "/v2/models/MODEL/generate", {"text_input": "the"}),
    ("POST", "/v2/models/MODEL/generate_stream", {"text_input": "the"}),
    ("POST", "/v2/repository/models/MODEL/load", None),
    ("POST", "/v2/repository/models/MODEL/unload", None),
]


def told(answer: Answer, model: str) -> tuple[Any, ...]:
    headers = [pair for pair in answer.headers if pair[0] not in {"content-length", "ratelimit"}]
    return answer.status, headers, answer.body.replace(model.encode(), b"MODEL")


async def call(client: Client, request: tuple[str, str, object], model: str) -> Answer:
    """Send a request about a model."""
    method, target, body = request
    content = None if body is None else json.loads(json.dumps(body).replace("MODEL", model))
    return await client.ask(method, target.replace("MODEL", model), content)


async def test_a_model_that_is_not_allowed_is_answered_as_one_that_is_not_there(
    clients: tuple[Client, Client],
) -> None:
    whole, restricted = clients
    for request in REQUESTS:
        target = request[1]
        if "repository" not in target:
            assert (await call(whole, request, "other")).status in {200, 201}, target
        found, missing = await call(restricted, request, "other"), await call(restricted, request, "otter")
        assert told(found, "other") == told(missing, "otter"), target
        if target.endswith("/ready"):
            assert found.status == 503
        else:
            assert found.status == 404, target
            assert b"expected one of ['tiny']" in found.body, target


async def test_sessions_on_other_models_of_the_same_tenant_are_not_there(clients: tuple[Client, Client]) -> None:
    whole, restricted = clients
    session = await whole.session("other", kept_steps=2)
    stepped = await whole.ask("POST", f"/v1/sessions/{session}/steps", WORDS | {"step": 0})
    assert stepped.status == 200
    exported = await whole.ask("GET", f"/v1/sessions/{session}/state")
    path = f"/v1/sessions/{session}"
    refused = [
        await restricted.ask("GET", path),
        await restricted.ask("GET", f"{path}?tenant=a"),
        await restricted.ask("DELETE", path),
        await restricted.ask("PATCH", path, {"ttl_seconds": 5}),
        await restricted.ask("POST", f"{path}/steps", WORDS),
        await restricted.ask("POST", f"{path}/steps", WORDS | {"step": 0}),  # would be answered as a repetition
        await restricted.ask("POST", f"{path}/predict", {}),
        await restricted.ask("POST", f"{path}/generate", {}),
        await restricted.ask("POST", f"{path}/generate", {"commit": False}),
        await restricted.ask("POST", f"{path}/reset"),
        await restricted.ask("POST", f"{path}/fork"),
        await restricted.ask("GET", f"{path}/state"),
        await restricted.ask("GET", f"{path}/stream", socket=Socket([])),
    ]
    for answer in refused:
        assert (answer.status, answer.code) == (404, "session_not_found"), answer.body
        assert f"no session '{session}': expected an id that this service gave you" in answer.json["error"]["message"]
    many = await restricted.ask("POST", "/v1/sessions/steps", {"steps": [WORDS | {"session_id": session}]})
    assert many.json["results"][0]["error"]["code"] == "session_not_found"
    socket = Socket([json.dumps(WORDS | {"session_id": session}).encode()])
    await restricted.ask("GET", "/v1/stream", socket=socket)
    assert [answer["error"]["code"] for answer in socket.answers] == ["session_not_found"]
    imported = await restricted.ask("POST", "/v1/sessions/import", exported.body)
    assert (imported.status, imported.code) == (404, "model_not_found")
    assert (await whole.ask("GET", path)).json["step"] == 1


async def test_a_creation_is_not_repeated_to_a_key_that_may_not_use_its_model(clients: tuple[Client, Client]) -> None:
    whole, restricted = clients
    key = {"idempotency-key": "k"}
    assert (await whole.ask("POST", "/v1/sessions", {"model": "other"}, headers=key)).status == 201
    hidden = await restricted.ask("POST", "/v1/sessions", {"model": "other"}, headers=key)
    assert (hidden.status, hidden.code) == (404, "model_not_found")
    reused = await restricted.ask("POST", "/v1/sessions", {"model": "tiny"}, headers=key)
    assert (reused.status, reused.code) == (422, "idempotency_key_reused")
    assert b"ses_" not in reused.body


async def test_metrics_which_name_all_models_need_a_key_for_all(clients: tuple[Client, Client]) -> None:
    whole, restricted = clients
    assert (await whole.ask("GET", "/metrics")).status == 200
    refused = await restricted.ask("GET", "/metrics")
    assert (refused.status, refused.code) == (403, "not_allowed")
    assert (await restricted.ask("GET", "/openapi.json")).status == 200


async def test_a_key_steps_sessions_of_the_models_that_it_may_use(clients: tuple[Client, Client]) -> None:
    whole, restricted = clients
    session = await whole.session("tiny")
    for number in range(2):
        stepped = await restricted.ask("POST", f"/v1/sessions/{session}/steps", WORDS | {"step": number})
        assert stepped.json["step"] == number + 1
