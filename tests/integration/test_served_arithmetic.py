"""How a service computes: with `--deterministic` an answer is the same to the last bit whatever else is under way,
without it it is not; a dtype for a model that is not there is warned of.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.domain.operations import OpenSession, Operation, Outcome, Predict, SeriesInput, TextInput
from service.engine.loaded_models import ModelRegistry
from service.nets.layers.float32_linear import MIN_PACKED_SIZE
from tests.folders import WORDS, load_registry, write_language_model
from tests.forecast_folders import write_forecaster
from tests.integration.engine.running_engine import RunningEngine
from tests.metrics import Metrics
from tests.server import Body, Server, answered, new_session, post, short_folder
from tests.state_files import taken_apart
from tests.translation_folders import write_encoder_decoder
from tests.vector_folders import write_melodies

#: Wide enough that several rows are multiplied by other code than one.
HIDDEN = 512
assert 4 * HIDDEN * HIDDEN >= MIN_PACKED_SIZE
SENTENCES = ["Go.", "Where is Tom?", "I am hungry.", "She likes dogs and cats.", "Who are you, and where is she?"]
#: What is compared comes first; what is asked beside it is shorter, as long, and longer.
LENGTHS = [5, 1, 9, 5, 3, 7, 5, 2, 8, 5, 1, 9, 5, 3, 7, 5, 2]
COUNT = len(LENGTHS)
TEXTS = [" ".join(WORDS[2 + start : 2 + start + length]) for start, length in enumerate(LENGTHS)]
SERIES = [
    [100.0 + (7 * index + row) % 40 if row % 4 else None for row in range(length)]
    for index, length in enumerate(LENGTHS)
]
INPUTS: dict[str, list[Body]] = {
    "words": [{"text": text} for text in TEXTS],
    "melodies": [{"text": text, "vector": [index / 9, -1.0, 0.5, 2.0, 0.0, 1.0]} for index, text in enumerate(TEXTS)],
    "mt": [{"text": text} for text in (SENTENCES * 4)[:COUNT]],
    "sensor": [{"values": values} for values in SERIES],
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    write_language_model(folder / "models", "words", hidden_size=HIDDEN, num_layers=1)
    write_encoder_decoder(folder / "models", "mt", encoder={"hidden_size": HIDDEN // 2}, golden=False)
    write_forecaster(folder / "models", "sensor", hidden_size=HIDDEN)
    write_melodies(folder / "models", hidden=HIDDEN // 2)
    return folder / "models"


@pytest.fixture(scope="module")
def registry(models: Path) -> ModelRegistry:
    return load_registry(models)


@pytest.fixture(scope="module")
def server(folder: Path, models: Path) -> Iterator[Server]:
    with Server(folder, models=models, deterministic=True, dtype="words=float32,sensors=int8") as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.mark.parametrize("model", INPUTS)
def test_a_prediction_is_the_same_alone_and_among_others(http: httpx.Client, model: str) -> None:
    path, inputs = f"/v1/models/{model}/predict", INPUTS[model]
    alone = answered(post(http, path, {"input": inputs[0]}))["output"]
    assert answered(post(http, path, {"inputs": inputs}))["outputs"][0] == alone
    assert answered(post(http, path, {"inputs": [*inputs[1:5], inputs[0]]}))["outputs"][-1] == alone


def opened(model: str, body: Body) -> Body:
    """The fields of a session's creation."""
    if model == "melodies":
        return {"input": {"vector": body["vector"]}}
    return {"input": body} if model == "mt" else {}


@pytest.mark.parametrize("model", INPUTS)
def test_a_step_leaves_the_same_state_alone_and_among_others(http: httpx.Client, model: str) -> None:
    inputs = INPUTS[model]
    opening: list[Body] = [opened(model, body) for body in inputs]
    fed: list[Body] = [{"text": "Il va"}] * COUNT if model == "mt" else inputs
    if model == "melodies":
        fed = [{"text": body["text"]} for body in inputs]
    lonely, *sessions = [new_session(http, model, **fields) for fields in (opening[0], *opening)]
    alone = answered(post(http, f"/v1/sessions/{lonely}/steps", {"input": fed[0]}))
    steps = [{"session_id": session, "input": body} for session, body in zip(sessions, fed, strict=True)]
    among = answered(post(http, "/v1/sessions/steps", {"steps": steps}))["results"][0]
    assert among["output"] == alone["output"]
    files = [http.get(f"/v1/sessions/{session}/state").content for session in (lonely, sessions[0])]
    assert taken_apart(files[0])[1] == taken_apart(files[1])[1]


def test_operations_share_no_forward_pass(http: httpx.Client) -> None:
    for model, inputs in INPUTS.items():
        answered(post(http, f"/v1/models/{model}/predict", {"inputs": inputs}))
    metrics = Metrics(http)
    assert metrics.value("batch_size_sum") == metrics.value("batch_size_count") > 0


def prediction(model: str, body: Body) -> Operation:
    return Predict(SeriesInput(tuple((value,) for value in body["values"])) if model == "sensor" else TextInput(**body))


@pytest.mark.parametrize("model", INPUTS)
@pytest.mark.parametrize(("max_batch", "same"), [(1, True), (64, False)])
async def test_what_shares_a_forward_pass_shows_in_the_last_bits(
    registry: ModelRegistry, model: str, max_batch: int, same: bool
) -> None:
    async with RunningEngine(registry, max_batch=max_batch) as running:
        version = next(version for version in running.engine.versions() if version.name == model)
        run = running.run
        requests: list[tuple[Operation, bytes | None]] = [(prediction(model, body), None) for body in INPUTS[model]]
        if model == "mt":
            opened = [await run(version, OpenSession(TextInput(**body)), None) for body in INPUTS[model]]
            requests = [(Predict(TextInput(text="Il va")), outcome.state) for outcome in opened]
        alone: list[Outcome] = [await run(version, *request) for request in requests]
        together = await asyncio.gather(*(run(version, *request) for request in requests))
        assert (together == alone) is same


def test_a_dtype_for_a_model_that_is_not_served_is_warned_of(server: Server) -> None:
    warnings = [
        line for line in map(json.loads, server.log.splitlines()) if line["event"] == "dtype of no served model"
    ]
    assert [(line["level"], line["model"], line["served"]) for line in warnings] == [
        ("warning", "sensors", ["melodies", "mt", "sensor", "words"])
    ]
