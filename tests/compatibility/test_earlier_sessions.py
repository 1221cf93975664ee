"""Sessions that earlier commits wrote go on in this one: the store of each is revived, and its clients return.

The tests know the service by what others know: its HTTP contract, its settings, its keys and state directory. They run
in their order: the last one moves the sessions on.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.compatibility.keys import write_keys
from tests.compatibility.recording import API_KEY, FOLDER, TENANT, Exchange, RecordedSession, Recording
from tests.deployments import Server as Store
from tests.server import (
    ROOT,
    Body,
    Server,
    answered,
    assert_same_predictions,
    look_up,
    post,
    refusal,
    short_folder,
)

MODELS = ROOT / "models"
RECORDINGS = [Recording.read(path) for path in sorted(FOLDER.glob("*.json"))]
SESSIONS = {session.name: session for recording in RECORDINGS for session in recording.sessions}
LIVE = [name for name, session in SESSIONS.items() if not session.ended]
ENDED = [name for name, session in SESSIONS.items() if session.ended]
FROM_NOTHING = [name for name, session in SESSIONS.items() if session.opening.path == "/v1/sessions"]
KEPT = [name for name, session in SESSIONS.items() if session.kept]
EXPORTED = [name for name, session in SESSIONS.items() if session.file is not None]
#: What counts as the same answer on any processor; a forecast's bound is in scaled units.
BOUNDS = {"probability": 1e-5, "anomaly_scores": 1e-5, "mean_logprob": 1e-4, "logprobs": 1e-4, "score": 1e-4}
FORECAST_BOUND = 1e-5
SCALE = json.loads((MODELS / "taxi-forecast" / "1" / "preprocessor.json").read_bytes())["scale"][0]

Clients = dict[bool, httpx.Client]


@pytest.fixture(scope="module", params=RECORDINGS, ids=[recording.commit for recording in RECORDINGS])
def recording(request: pytest.FixtureRequest) -> Recording:
    found: Recording = request.param
    return found


@pytest.fixture(scope="module")
def clients(recording: Recording) -> Iterator[Clients]:
    """Two services on the revived store: one open to all, and one that knows the tenant of the guarded sessions."""
    with ExitStack() as stack:
        folder, beside = stack.enter_context(short_folder()), stack.enter_context(short_folder())
        revive(folder / "state" / "store", recording)
        server = stack.enter_context(Server(folder, models=MODELS))
        http = stack.enter_context(server.client())
        require_models(recording, http)
        socket = (server.state_dir / "socket").read_text()
        guarded = Server(beside, models=MODELS, redis_url=f"unix://{socket}", api_keys=f"{TENANT}:{API_KEY}")
        yield {False: http, True: stack.enter_context(stack.enter_context(guarded).client(API_KEY))}


def revive(data: Path, recording: Recording) -> None:
    """Write the store where the private server of a state directory looks for its data."""
    store = Store(data).start()
    try:
        with Redis(port=store.port) as client:
            write_keys(client, recording.store, recording.recorded_at)
    finally:
        store.kill()


def require_models(recording: Recording, http: httpx.Client) -> None:
    """Say first of all where the models are others: then the sessions cannot go on, whatever the service does."""
    for model, expected in recording.fingerprints.items():
        found = answered(http.get(f"/v1/models/{model}"))["fingerprint"]
        assert found == expected, (
            f"models/{model} is not the model any more that the sessions of {recording.commit} belong to: they rightly "
            "end with model_version_gone. Record sessions of the last commit that wrote the same records, with the new "
            "model in its folder, by python -m tests.compatibility.record_sessions, and remove this recording."
        )


def replayed(response: httpx.Response, exchange: Exchange) -> None:
    """The response is the recorded answer to the byte, and says that it is a repetition."""
    assert response.status_code == 200, response.text
    assert response.content == exchange.answer.encode()
    assert response.headers["unroll-replayed"] == "true"


def same_answer(found: Body, exchange: Exchange) -> None:
    """Both say the same, within the bounds; whose session it is and when it ends may differ."""
    expected: Body = json.loads(exchange.answer)
    for name in ("model", "version", "step", "timesteps"):
        assert found[name] == expected[name], name
    same(found["output"], expected["output"], "output")


def same(found: Any, expected: Any, name: str) -> None:
    if name == "predictions":
        assert_same_predictions(by_token(found), by_token(expected))
    elif isinstance(expected, dict):
        for part in expected:
            same(found[part], expected[part], part)
    elif isinstance(expected, list):
        assert len(found) == len(expected), name
        for mine, theirs in zip(found, expected, strict=True):
            same(mine, theirs, name)
    elif isinstance(expected, float):
        bound = 1e-4 * expected if name == "perplexity" else BOUNDS.get(name, FORECAST_BOUND * SCALE)
        assert found == pytest.approx(expected, rel=0, abs=bound), name
    else:
        assert found == expected, name


def by_token(predictions: list[Body]) -> Body:
    """The predictions of any task, told apart by their tokens."""
    return {"predictions": [{"id": one["token"], "probability": one["probability"]} for one in predictions]}


def take(http: httpx.Client, session: str, exchange: Exchange) -> None:
    """Take the recorded step; the answer is the recorded one."""
    same_answer(answered(exchange.request.send(http, session)), exchange)


def with_other_input(session: RecordedSession, exchange: Exchange) -> Exchange:
    """The step with its key and another input."""
    body = {**(exchange.request.body or {}), "input": (session.next[0].request.body or {})["input"]}
    return exchange.model_copy(update={"request": exchange.request.model_copy(update={"body": body})})


@pytest.mark.parametrize("name", FROM_NOTHING)
def test_a_new_session_answers_as_the_earlier_one_did(clients: Clients, recording: Recording, name: str) -> None:
    """Fails where the arithmetic or the answers changed, not the sessions."""
    earlier = recording.session(name)
    http = clients[earlier.guarded]
    opening = earlier.opening.model_copy(update={"key": None})
    fresh = answered(opening.send(http), 201)["id"]
    for exchange in [*earlier.so_far, *earlier.next]:
        take(http, fresh, exchange)


@pytest.mark.parametrize("model", [None, "next-word", "translate-en-fr", "taxi-forecast"])
def test_earlier_sessions_are_listed_in_their_order(clients: Clients, recording: Recording, model: str | None) -> None:
    of_model = {session.id for session in recording.sessions if model in {None, session.described["model"]}}
    query = {"limit": "1000"} | ({} if model is None else {"model": model})
    data = answered(clients[False].get("/v1/sessions", params=query))["data"]
    found = [session["id"] for session in data if session["id"] in of_model]
    assert found == [session for session in recording.listed if session in of_model]
    assert found


@pytest.mark.parametrize("name", LIVE)
def test_an_earlier_session_is_described_as_it_was(clients: Clients, recording: Recording, name: str) -> None:
    earlier = recording.session(name)
    found = look_up(clients[earlier.guarded], earlier.id)
    assert {field: found[field] for field in earlier.described} == earlier.described


@pytest.mark.parametrize("name", LIVE)
def test_a_repeated_request_of_an_earlier_client_is_replayed(clients: Clients, recording: Recording, name: str) -> None:
    earlier = recording.session(name)
    http = clients[earlier.guarded]
    if earlier.opening.key is not None:
        found = earlier.opening.send(http)
        assert answered(found, 201)["id"] == earlier.id
        assert found.headers["unroll-replayed"] == "true"
    for exchange in earlier.so_far[-1:]:
        if exchange.request.repeatable:
            replayed(exchange.request.send(http, earlier.id), exchange)


@pytest.mark.parametrize("name", LIVE)
def test_an_earlier_key_is_refused_where_it_cannot_be_replayed(
    clients: Clients, recording: Recording, name: str
) -> None:
    earlier = recording.session(name)
    http = clients[earlier.guarded]
    *before, last = [exchange for exchange in earlier.so_far if exchange.request.key is not None] or [None]
    for exchange in before:
        assert exchange is not None
        refused = exchange.request.send(http, earlier.id)
        assert refusal(refused, 409, "step_conflict")["applied"] == "yes"
    if last is not None and last is earlier.so_far[-1]:
        refusal(with_other_input(earlier, last).request.send(http, earlier.id), 422, "idempotency_key_reused")


@pytest.mark.parametrize("name", ENDED)
def test_a_session_that_was_ended_stays_ended(clients: Clients, recording: Recording, name: str) -> None:
    earlier = recording.session(name)
    http = clients[earlier.guarded]
    refusal(http.get(f"/v1/sessions/{earlier.id}"), 410, "session_ended")
    refusal(earlier.so_far[0].request.send(http, earlier.id), 410, "session_ended")


def test_an_earlier_session_stays_invisible_to_other_tenants(clients: Clients, recording: Recording) -> None:
    for earlier in recording.sessions:
        refusal(clients[not earlier.guarded].get(f"/v1/sessions/{earlier.id}"), 404, "session_not_found")


@pytest.mark.parametrize("name", KEPT)
def test_an_earlier_session_is_forked_from_its_kept_steps(clients: Clients, recording: Recording, name: str) -> None:
    earlier = recording.session(name)
    http = clients[earlier.guarded]
    for step in earlier.kept:
        fork = answered(post(http, f"/v1/sessions/{earlier.id}/fork", {"step": step}), 201)
        assert fork["step"] == step
        for exchange in earlier.so_far[step:]:
            take(http, fork["id"], exchange)


@pytest.mark.parametrize("name", EXPORTED)
def test_an_earlier_state_file_is_imported(clients: Clients, recording: Recording, name: str) -> None:
    earlier = recording.session(name)
    http = clients[earlier.guarded]
    octets = {"Content-Type": "application/octet-stream"}
    copy = answered(http.post("/v1/sessions/import", content=earlier.file, headers=octets), 201)
    for field in ("model", "version", "step", "timesteps", "state_bytes"):
        assert copy[field] == earlier.described[field]
    for exchange in earlier.next:
        take(http, copy["id"], exchange)


@pytest.mark.parametrize("name", LIVE)
def test_an_earlier_session_goes_on_as_it_would_have(clients: Clients, recording: Recording, name: str) -> None:
    earlier = recording.session(name)
    http = clients[earlier.guarded]
    for exchange in earlier.next:
        take(http, earlier.id, exchange)
    assert look_up(http, earlier.id)["step"] == earlier.described["step"] + len(earlier.next)
