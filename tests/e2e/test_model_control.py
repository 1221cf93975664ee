"""Triton's client unloads and loads models of a service of two workers, and no session loses anything by it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.rollouts import logged_by_all_workers
from tests.e2e.traffic import kill_a_worker
from tests.folders import write_language_model
from tests.server import (
    NEW_CONNECTIONS,
    Body,
    Server,
    answered,
    eventually,
    new_session,
    post,
    probabilities,
    refusal,
    short_folder,
    step,
)

triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

WORDS = ["a b", "c", "d e"]
#: Each request has a connection of its own, so these reach both workers.
MANY = range(12)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    for number, name in enumerate(("comes", "stays")):
        write_language_model(folder / "models", name, seed=20 + number)
    with Server(folder, models=folder / "models", workers=2, models_poll_seconds=0.2) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    eventually(server.is_ready, 120)
    with httpx.Client(base_url=server.url, timeout=30, headers=NEW_CONNECTIONS) as client:
        yield client


@pytest.fixture
def client(server: Server, http: httpx.Client) -> Iterator[Any]:
    """Triton's client; the model is loaded when it comes and when it goes."""
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as running:
        running.load_model("comes")
        yield running
        running.load_model("comes")


def sequence_step(client: Any, words: str, **options: Any) -> tuple[list[int], Body]:
    tensor = triton.InferInput("TEXT", [1, 1], "BYTES")
    tensor.set_data_from_numpy(triton.np.array([[words.encode()]], dtype=triton.np.object_))
    outputs = [triton.InferRequestedOutput("TOP_IDS")]
    result = client.infer("comes", [tensor], outputs=outputs, **options)
    return result.as_numpy("TOP_IDS")[0].tolist(), result.get_response().get("parameters", {})


def state_of(client: Any, model: str) -> tuple[str, str]:
    (entry,) = (entry for entry in client.get_model_repository_index() if entry["name"] == model)
    return entry["state"], entry["reason"]


def assert_unloaded(http: httpx.Client) -> None:
    for _ in MANY:
        assert http.get("/v2/models/comes/ready").status_code == 503
        refusal(post(http, "/v1/models/comes/predict", {"input": {"text": "a"}}), 404, "model_not_found", "unloaded")
        assert [model["id"] for model in answered(http.get("/v1/models"))["data"]] == ["stays"]
        assert answered(post(http, "/v1/models/stays/predict", {"input": {"text": "a"}}))
        assert http.get("/health/ready").status_code == 200


def test_an_unloaded_model_is_served_by_no_worker_until_it_is_loaded(client: Any, http: httpx.Client) -> None:
    assert state_of(client, "comes") == ("READY", "")
    client.unload_model("comes", unload_dependents=True)
    assert not client.is_model_ready("comes")
    assert state_of(client, "comes") == ("UNAVAILABLE", "unloaded")
    for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        with pytest.raises(triton.InferenceServerException, match="no available versions"):
            call("comes")
    with pytest.raises(triton.InferenceServerException, match="no available versions"):
        sequence_step(client, "a")
    assert_unloaded(http)
    client.load_model("comes")
    for _ in MANY:
        assert http.get("/v2/models/comes/ready").status_code == 200
        assert answered(post(http, "/v1/models/comes/predict", {"input": {"text": "a"}}))
    assert state_of(client, "comes") == ("READY", "")


def test_a_sequence_continues_when_its_model_is_loaded_again(client: Any, http: httpx.Client) -> None:
    session = new_session(http, "comes")
    expected = [[*probabilities(answered(step(http, session, words))["output"])] for words in WORDS]
    for index, words in enumerate(WORDS):
        tops, parameters = sequence_step(
            client, words, sequence_id=8001, sequence_start=index == 0, parameters={"step": index}
        )
        assert (tops, parameters["step"]) == (expected[index], index + 1)
        client.unload_model("comes")
        with pytest.raises(triton.InferenceServerException, match="no available versions"):
            sequence_step(client, words, sequence_id=8001)
        client.load_model("comes")


def test_a_session_keeps_its_state_while_its_model_is_unloaded(client: Any, http: httpx.Client) -> None:
    session, reference = new_session(http, "comes"), new_session(http, "comes")
    expected = [answered(step(http, reference, words))["output"] for words in WORDS]
    for index, words in enumerate(WORDS):
        assert answered(step(http, session, words, step=index))["output"] == expected[index]
        client.unload_model("comes")
        for _ in MANY:
            response = step(http, session, words, step=index + 1)
            error = refusal(response, 503, "model_not_ready", "continues when it is loaded again")
            assert (error["applied"], error["step"]) == ("no", index + 1)
            assert response.headers["retry-after"]
        assert answered(http.get(f"/v1/sessions/{session}"))["step"] == index + 1
        client.load_model("comes")


def test_a_model_stays_unloaded_over_restarts_of_the_workers(server: Server, client: Any, http: httpx.Client) -> None:
    client.unload_model("comes")
    kill_a_worker(server)
    assert_unloaded(http)
    server.terminate()
    server.restart()
    assert_unloaded(http)


def test_the_log_says_what_was_unloaded_and_why(server: Server, client: Any) -> None:
    client.unload_model("comes")
    assert logged_by_all_workers(server, "model version unloaded", model="comes", reason="a client asked for it")


def test_a_configuration_is_not_overridden(client: Any, http: httpx.Client) -> None:
    with pytest.raises(triton.InferenceServerException, match="'config'"):
        client.load_model("comes", config='{"max_batch_size": 4}')
    body = {"parameters": {"file:1/model.onnx": "content"}}
    response = http.post("/v2/repository/models/comes/load", json=body)
    assert (response.status_code, [*response.json()]) == (422, ["error"])
