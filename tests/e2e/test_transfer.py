"""Sessions that leave in a file: to the other worker, and to another service with another store and secret."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.task_models import INPUTS, OPENINGS
from tests.folders import WORDS
from tests.server import (
    Body,
    Server,
    answered,
    assert_same_predictions,
    eventually,
    look_up,
    new_session,
    post,
    refusal,
    short_folder,
    step,
)

OCTETS = {"Content-Type": "application/octet-stream"}
PIECES = [" ".join(random.Random(at).choices([word for word in WORDS if word.isalpha()], k=3)) for at in range(6)]
SOURCE = "I don't know what to do!"


@pytest.fixture(scope="module")
def elsewhere(models_folder: Path) -> Iterator[httpx.Client]:
    """A service of its own with the same models: another store, so another secret."""
    with short_folder() as folder, Server(folder, models=models_folder) as other, other.client() as client:
        yield client


def export(http: httpx.Client, session: str, name: str = "export") -> bytes:
    response = http.get(f"/v1/sessions/{session}/state", headers={"X-Request-Id": name})
    assert response.status_code == 200, response.text
    return response.content


def bring(http: httpx.Client, content: bytes, name: str = "import") -> Body:
    return answered(http.post("/v1/sessions/import", content=content, headers={**OCTETS, "X-Request-Id": name}), 201)


def process_of(server: Server, name: str) -> int:
    """The worker that answered the request with this id."""

    def look() -> int | None:
        events = [json.loads(line) for line in server.log.splitlines() if f'"{name}"' in line]
        return next((int(event["process"]) for event in events if event["event"] == "request"), None)

    return eventually(look)


def feed(http: httpx.Client, session: str, model: str, at: int) -> Body:
    """Take step `at` of a stream; returns what it answers."""
    if model in INPUTS:
        return _advance(http, session, INPUTS[model][at], at)
    times = {"start": f"2026-03-02T{at:02}:00:00Z", "step_seconds": 1800}
    given = {
        "tiny": {"text": PIECES[at]},
        "mt": {"text": ["Je", "ne sais", "pas", "quoi", "faire", "!"][at]},
        "sensor": {"values": [100.0 + 3 * at, 104.0 - at], "timestamps": times},
    }[model]
    return _advance(http, session, given, at)


def _advance(http: httpx.Client, session: str, given: Body, at: int) -> Body:
    answer = answered(post(http, f"/v1/sessions/{session}/steps", {"input": given, "step": at}))
    return {name: answer[name] for name in ("step", "timesteps", "output")}


def test_a_session_goes_on_at_the_other_worker_from_its_file(server: Server, http: httpx.Client) -> None:
    texts = [" ".join(PIECES[: end + 1]) for end in range(len(PIECES))]
    body = {"inputs": [{"text": text} for text in texts], "options": {"top_k": 100}}
    expected = answered(post(http, "/v1/models/tiny/predict", body))["outputs"]
    session = new_session(http)
    for piece in PIECES[:3]:
        answered(step(http, session, piece))
    content = export(http, session, "transfer-out")
    assert http.delete(f"/v1/sessions/{session}").status_code == 204
    refusal(http.get(f"/v1/sessions/{session}/state"), 410, "session_ended")
    for attempt in range(100):
        copy = bring(http, content, f"transfer-in-{attempt}")
        if process_of(server, f"transfer-in-{attempt}") != process_of(server, "transfer-out"):
            break
    else:
        pytest.fail("a hundred connections all reached one worker")
    assert (copy["step"], copy["timesteps"]) == (3, 9)
    for at in range(3, 6):
        result = answered(step(http, copy["id"], PIECES[at], step=at, options={"top_k": 100}))
        assert_same_predictions(result["output"], expected[at])
    assert (result["step"], result["timesteps"]) == (6, 18)


@pytest.mark.parametrize("model", ["tiny", "mt", "sensor", *INPUTS])
def test_a_session_goes_on_in_another_service_from_its_file(
    http: httpx.Client, elsewhere: httpx.Client, model: str
) -> None:
    session = new_session(http, model, **OPENINGS.get(model, {"input": {"text": SOURCE}} if model == "mt" else {}))
    for at in range(3):
        feed(http, session, model, at)
    content = export(http, session)
    refusal(elsewhere.get(f"/v1/sessions/{session}"), 404, "session_not_found")
    copy = bring(elsewhere, content)
    before = look_up(http, session)
    assert {name: copy[name] for name in ("model", "version", "task", "step", "timesteps", "state_bytes")} == {
        name: before[name] for name in ("model", "version", "task", "step", "timesteps", "state_bytes")
    }
    assert [feed(elsewhere, copy["id"], model, at) for at in range(3, 5)] == [
        feed(http, session, model, at) for at in range(3, 5)
    ]
    # And home again, past where it left.
    back = bring(http, export(elsewhere, copy["id"]))
    assert back["step"] == 5
    assert feed(http, back["id"], model, 5) == feed(http, session, model, 5)
