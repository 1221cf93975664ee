"""Triton's own Python client for gRPC, synchronous, asynchronous and streaming, works unchanged."""

import queue
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.conftest import KEYS
from tests.server import Body, Server, answered, new_session, probabilities, step

triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
aio = pytest.importorskip("tritonclient.grpc.aio", reason="tritonclient is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
HEADERS = {"authorization": f"Bearer {KEYS['alice']}"}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_address) as running:
        yield running


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[Any]:
    async with aio.InferenceServerClient(server.grpc_address) as running:
        yield running


def ids(*row: int) -> list[Any]:
    tensor = triton.InferInput("TOKEN_IDS", [1, len(row)], "INT64")
    tensor.set_data_from_numpy(np.array([row], dtype=np.int64))
    return [tensor]


def text(words: str) -> list[Any]:
    tensor = triton.InferInput("TEXT", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[words.encode()]], dtype=np.object_))
    return [tensor]


def outputs(*names: str) -> list[Any]:
    return [triton.InferRequestedOutput(name) for name in names]


def expected_ids(http: httpx.Client, *row: int) -> list[int]:
    body = {"input": {"ids": [*row]}, "options": {"top_k": 5}}
    return [*probabilities(answered(http.post("/v1/models/tiny/predict", json=body))["output"])]


def expected_of_session(http: httpx.Client, *words: str) -> list[list[int]]:
    session = new_session(http)
    return [[*probabilities(answered(step(http, session, piece))["output"])] for piece in words]


def test_metadata_config_and_statistics(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny", headers=HEADERS)
    assert not client.is_model_ready("nothing", headers=HEADERS)
    assert "sequence(string_id)" in client.get_server_metadata(headers=HEADERS).extensions
    described = client.get_model_metadata("tiny", "1", headers=HEADERS)
    assert (described.name, [*described.versions]) == ("tiny", ["1"])
    assert [(item.name, [*item.shape]) for item in described.inputs] == [("TOKEN_IDS", [-1, -1]), ("TEXT", [-1, 1])]
    assert client.get_model_config("tiny", headers=HEADERS).config.HasField("sequence_batching")
    assert client.get_model_config("tiny", headers=HEADERS).config.input[1].data_type == 13
    before = client.get_inference_statistics("tiny", headers=HEADERS).model_stats[0]
    client.infer("tiny", ids(1), headers=HEADERS)
    after = client.get_inference_statistics("tiny", headers=HEADERS).model_stats[0]
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert len(client.get_inference_statistics(headers=HEADERS).model_stats) > 1


def test_the_same_in_json(client: Any, http: httpx.Client) -> None:
    config = client.get_model_config("tiny", headers=HEADERS, as_json=True)["config"]
    assert config["name"] == http.get("/v2/models/tiny/config").json()["name"]


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_infer(client: Any, http: httpx.Client, coding: str | None) -> None:
    headers = HEADERS if coding is None else {**HEADERS, "accept-encoding": coding}
    result = client.infer(
        "tiny",
        ids(1, 2),
        outputs=outputs("TOP_IDS", "LOGITS", "TOP_TOKENS"),
        headers=headers,
        request_id="7",
        compression_algorithm=coding,
    )
    assert result.as_numpy("TOP_IDS")[0].tolist() == expected_ids(http, 1, 2)
    assert result.as_numpy("LOGITS").dtype == np.float32
    assert result.as_numpy("TOP_TOKENS").shape == (1, 5)
    assert result.get_response().id == "7"


def test_infer_in_a_callback(client: Any, http: httpx.Client) -> None:
    results: queue.Queue[Any] = queue.Queue()
    client.async_infer("tiny", ids(3), lambda result, error: results.put((result, error)), headers=HEADERS)
    result, error = results.get(timeout=20)
    assert error is None
    assert result.as_numpy("TOP_IDS")[0].tolist() == expected_ids(http, 3)


@pytest.mark.parametrize("name", [2**63 - 1, "a stream of gRPC"])
def test_a_sequence_is_a_session(client: Any, http: httpx.Client, name: int | str) -> None:
    words = ("a b", "c", "d")
    expected = expected_of_session(http, *words)
    for _ in range(2):
        for index, piece in enumerate(words):
            result = client.infer(
                "tiny",
                text(piece),
                outputs=outputs("TOP_IDS"),
                headers=HEADERS,
                sequence_id=name,
                sequence_start=index == 0,
                sequence_end=index == 2,
                parameters={"step": index},
            )
            assert result.as_numpy("TOP_IDS")[0].tolist() == expected[index]
            assert result.get_response().parameters["step"].int64_param == index + 1
    session = result.get_response().parameters["session_id"].string_param
    assert http.get(f"/v1/sessions/{session}").status_code == 410
    with pytest.raises(triton.InferenceServerException, match="must specify the START flag") as refused:
        client.infer("tiny", text("e"), headers=HEADERS, sequence_id=name)
    assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_sequences_of_both_kinds_of_id_are_apart(client: Any) -> None:
    for name in (42, "42"):
        client.infer("tiny", text("a"), headers=HEADERS, sequence_id=name, sequence_start=True)
    for name in (42, "42"):
        result = client.infer("tiny", text("b"), headers=HEADERS, sequence_id=name, sequence_end=True)
        assert result.get_response().parameters["step"].int64_param == 2


def test_a_sequence_over_rest_continues_over_grpc(client: Any, http: httpx.Client) -> None:
    expected = expected_of_session(http, "a b", "c")
    body: Body = {
        "inputs": [{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["a b"]}],
        "parameters": {"sequence_id": "both", "sequence_start": True},
    }
    answered(http.post("/v2/models/tiny/infer", json=body))
    result = client.infer("tiny", text("c"), headers=HEADERS, sequence_id="both", sequence_end=True)
    assert result.as_numpy("TOP_IDS")[0].tolist() == expected[1]


def test_a_stream(client: Any, http: httpx.Client) -> None:
    words = ["a b", "c", "d", "e"]
    expected = expected_of_session(http, *words)
    results: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: results.put((result, error)), headers=HEADERS)
    for index, piece in enumerate(words):
        for name in (70, "seventy"):
            client.async_stream_infer(
                "tiny", text(piece), sequence_id=name, sequence_start=index == 0, sequence_end=index == 3,
                request_id=f"{name}-{index}", outputs=outputs("TOP_IDS"),
            )  # fmt: skip
    client.async_stream_infer("tiny", text("f"), sequence_id=70, request_id="late")
    client.async_stream_infer("tiny", ids(1, 2), request_id="last", enable_empty_final_response=True)
    for index in range(len(words)):
        for name in (70, "seventy"):
            result, error = results.get(timeout=20)
            assert error is None
            assert result.get_response().id == f"{name}-{index}"
            assert result.as_numpy("TOP_IDS")[0].tolist() == expected[index]
    _, error = results.get(timeout=20)
    assert "must specify the START flag" in str(error)
    result, error = results.get(timeout=20)
    assert (result.get_response().id, error) == ("last", None)
    assert result.get_response().parameters["triton_final_response"].bool_param
    client.stop_stream()


def test_a_stream_without_a_key_is_refused(client: Any) -> None:
    results: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: results.put(error))
    assert "no API key" in str(results.get(timeout=20))
    client.stop_stream()


def test_the_repository(client: Any) -> None:
    assert "tiny" in {entry.name for entry in client.get_model_repository_index(headers=HEADERS).models}
    client.load_model("tiny", headers=HEADERS)
    with pytest.raises(triton.InferenceServerException, match="not allowed"):
        client.unload_model("tiny", headers=HEADERS)
    with pytest.raises(triton.InferenceServerException, match="expected none"):
        client.load_model("tiny", headers=HEADERS, config="{}")


def test_errors_carry_their_message_and_status(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="no API key") as refused:
        client.infer("tiny", ids(1))
    assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
    with pytest.raises(triton.InferenceServerException, match="nothing"):
        client.infer("nothing", ids(1), headers=HEADERS)
    with pytest.raises(triton.InferenceServerException, match="expected one of LOGITS") as refused:
        client.infer("tiny", ids(1), outputs=outputs("SCORE"), headers=HEADERS)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


async def test_the_asynchronous_client(async_client: Any, http: httpx.Client) -> None:
    assert await async_client.is_server_ready()
    assert (await async_client.get_model_metadata("tiny", headers=HEADERS)).name == "tiny"
    assert (await async_client.get_model_config("tiny", headers=HEADERS)).config.max_batch_size >= 1
    assert (await async_client.get_inference_statistics("tiny", headers=HEADERS)).model_stats
    result = await async_client.infer("tiny", ids(1, 2), outputs=outputs("TOP_IDS"), headers=HEADERS)
    assert result.as_numpy("TOP_IDS")[0].tolist() == expected_ids(http, 1, 2)
    with pytest.raises(triton.InferenceServerException, match="nothing"):
        await async_client.infer("nothing", ids(1), headers=HEADERS)


async def test_a_stream_of_the_asynchronous_client(async_client: Any, http: httpx.Client) -> None:
    words = ["a b", "c", "d"]
    expected = expected_of_session(http, *words)

    async def requests() -> AsyncIterator[Body]:
        for index, piece in enumerate(words):
            yield {
                "model_name": "tiny", "inputs": text(piece), "outputs": outputs("TOP_IDS"),
                "sequence_id": "asynchronous", "sequence_start": index == 0, "sequence_end": index == 2,
            }  # fmt: skip

    found = []
    async for result, error in async_client.stream_infer(requests(), headers=HEADERS):
        assert error is None
        found.append(result.as_numpy("TOP_IDS")[0].tolist())
    assert found == expected
