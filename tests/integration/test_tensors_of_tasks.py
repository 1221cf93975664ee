"""Classification, tagging, regression, embedding and graphs by Triton's own clients for REST and for gRPC."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest

from tests.encoder_folders import LABELS, NAMES, rows_of, write_encoder
from tests.onnx_folders import running_sum, running_sum_config, write_onnx
from tests.server import Body, Server, answered, new_session, post, short_folder

triton_http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
triton_grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
TEXTS = ["I like the big dog", "Tom"]
ROWS = rows_of(5)
NUMBERS = np.array([[[np.nan if one is None else one for one in row] for row in ROWS]], np.float32)
Client = tuple[ModuleType, Any]


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with short_folder() as folder:
        models = folder / "models"
        write_encoder(models, "mood", "classification", readout="attention")
        write_encoder(models, "tags", "tagging")
        write_encoder(models, "river", "regression", text=False)
        write_encoder(models, "vectors", "embedding")
        write_onnx(models, "sum", running_sum(), running_sum_config())
        with Server(folder, models=models, workers=2, grpc_port=0) as running:
            yield running


@pytest.fixture(scope="module")
def native(service: Server) -> Iterator[httpx.Client]:
    with service.client() as running:
        yield running


@pytest.fixture(scope="module", params=["http", "grpc"])
def client(request: pytest.FixtureRequest, service: Server) -> Iterator[Client]:
    package = {"http": triton_http, "grpc": triton_grpc}[request.param]
    address = service.url.removeprefix("http://") if request.param == "http" else service.grpc_address
    with package.InferenceServerClient(address) as running:
        yield package, running


def infer(client: Client, model: str, name: str, datatype: str, array: Any, **terms: Any) -> Any:
    package, running = client
    tensor = package.InferInput(name, [*array.shape], datatype)
    tensor.set_data_from_numpy(array)
    return running.infer(model, [tensor], **terms)


def texts(*lines: str) -> Any:
    return np.array([[line.encode()] for line in lines], dtype=np.object_)


def predict(native: httpx.Client, model: str, own: Body, **options: Any) -> Body:
    output: Body = answered(post(native, f"/v1/models/{model}/predict", {"input": own, "options": options}))["output"]
    return output


def step(native: httpx.Client, session: str, own: Body) -> Body:
    output: Body = answered(post(native, f"/v1/sessions/{session}/steps", {"input": own}))["output"]
    return output


def test_every_model_describes_its_tensors(client: Client) -> None:
    package, running = client
    expected = {
        "mood": ["PROBABILITIES", "LABELS"],
        "tags": ["LABELS", "PROBABILITIES"],
        "river": ["VALUES"],
        "vectors": ["EMBEDDING"],
        "sum": ["y"],
    }
    for name, outputs in expected.items():
        described = running.get_model_metadata(name, **({} if package is triton_http else {"as_json": True}))
        assert sorted(one["name"] for one in described["outputs"]) == sorted(outputs)


def test_labels_of_a_batch(client: Client, native: httpx.Client) -> None:
    result = infer(client, "mood", "TEXT", "BYTES", texts(*TEXTS), parameters={"top_k": 2})
    found, names = result.as_numpy("PROBABILITIES"), result.as_numpy("LABELS")
    assert names.shape == (2, 2)
    for text, row, labels in zip(TEXTS, found, names, strict=True):
        expected = {one["label"]: one["probability"] for one in predict(native, "mood", {"text": text})["labels"]}
        assert dict(zip(LABELS, row, strict=True)) == pytest.approx(expected, abs=4e-5)
        assert [label.decode() for label in labels] == [*expected][:2]


def test_tags_of_a_batch_are_filled_up(client: Client, native: httpx.Client) -> None:
    result = infer(client, "tags", "TEXT", "BYTES", texts(*TEXTS))
    labels, probabilities = result.as_numpy("LABELS"), result.as_numpy("PROBABILITIES")
    assert labels.shape == probabilities.shape == (2, 5)
    for text, names, numbers in zip(TEXTS, labels, probabilities, strict=True):
        expected = predict(native, "tags", {"text": text})["tags"]
        count = len(expected)
        assert [name.decode() for name in names] == [one["tag"] for one in expected] + [""] * (5 - count)
        assert numbers[:count] == pytest.approx([one["probability"] for one in expected], abs=4e-5)
        assert not numbers[count:].any()


def test_numbers_with_gaps(client: Client, native: httpx.Client) -> None:
    found = infer(client, "river", "VALUES", "FP32", NUMBERS).as_numpy("VALUES")
    assert found.shape == (1, len(ROWS), len(NAMES))
    expected = predict(native, "river", {"values": ROWS})["values"]
    assert found[0] == pytest.approx(np.array(expected), abs=4e-4)


@pytest.mark.parametrize("every", ["last", "step"])
def test_vectors(client: Client, native: httpx.Client, every: str) -> None:
    parameters = {"every": every}
    found = infer(client, "vectors", "TEXT", "BYTES", texts(TEXTS[0]), parameters=parameters).as_numpy("EMBEDDING")
    expected = predict(native, "vectors", {"text": TEXTS[0]}, every=every)["embedding"]
    assert found[0].ravel() == pytest.approx(np.ravel(expected), abs=4e-5)


def test_a_sequence_of_numbers_is_a_session(client: Client, native: httpx.Client) -> None:
    session = new_session(native, model="river")
    for index, row in enumerate(ROWS):
        terms = {"sequence_id": "river", "sequence_start": index == 0, "sequence_end": index == len(ROWS) - 1}
        result = infer(client, "river", "VALUES", "FP32", NUMBERS[:, index : index + 1], **terms)
        expected = step(native, session, {"values": [row]})["values"]
        assert result.as_numpy("VALUES")[0] == pytest.approx(np.array(expected), abs=4e-4)


def test_a_sequence_of_words_answers_of_all_that_it_has_read(client: Client, native: httpx.Client) -> None:
    words, result = TEXTS[0].split(), None
    for index, word in enumerate(words):
        terms = {"sequence_id": 31, "sequence_start": index == 0, "sequence_end": index == len(words) - 1}
        result = infer(client, "mood", "TEXT", "BYTES", texts(word), parameters={"step": index}, **terms)
    assert result is not None
    expected = {one["label"]: one["probability"] for one in predict(native, "mood", {"text": TEXTS[0]})["labels"]}
    assert dict(zip(LABELS, result.as_numpy("PROBABILITIES")[0], strict=True)) == pytest.approx(expected, abs=4e-5)


def test_a_graph_in_batches_and_in_steps_of_a_sequence(client: Client, native: httpx.Client) -> None:
    rows = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    assert np.array_equal(infer(client, "sum", "x", "FP32", rows).as_numpy("y"), 2 * rows)
    terms = {"sequence_id": "sums", "parameters": {"steps": True}}
    first = infer(client, "sum", "x", "FP32", rows[:2], sequence_start=True, **terms)
    last = infer(client, "sum", "x", "FP32", rows[2:], sequence_end=True, **terms)
    assert np.array_equal(np.concatenate([first.as_numpy("y"), last.as_numpy("y")]), 2 * np.cumsum(rows, 0))
    told = last.get_response()["parameters"] if client[0] is triton_http else last.get_response().parameters
    session = told["session_id"] if client[0] is triton_http else told["session_id"].string_param
    assert native.get(f"/v1/sessions/{session}").status_code == 410
