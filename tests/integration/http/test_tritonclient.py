"""Triton's own Python client, synchronous and asynchronous, works unchanged."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.conftest import KEYS
from tests.server import Body, Server, answered, new_session, probabilities, step

triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
aio = pytest.importorskip("tritonclient.http.aio", reason="aiohttp is not installed")


def headers() -> dict[str, str]:
    """New headers for each call, since the client adds its own to those that it is given."""
    return {"Authorization": f"Bearer {KEYS['alice']}"}


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def address(http: httpx.Client) -> str:
    return f"{http.base_url.host}:{http.base_url.port}"


@pytest.fixture(scope="module")
def client(server: Server, address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as running:
        yield running


@pytest.fixture
async def async_client(server: Server, address: str) -> AsyncIterator[Any]:
    async with aio.InferenceServerClient(address) as running:
        yield running


def ids(*row: int, binary: bool = True) -> list[Any]:
    tensor = triton.InferInput("TOKEN_IDS", [1, len(row)], "INT64")
    tensor.set_data_from_numpy(np.array([row], dtype=np.int64), binary_data=binary)
    return [tensor]


def text(words: str) -> list[Any]:
    tensor = triton.InferInput("TEXT", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[words.encode()]], dtype=np.object_))
    return [tensor]


def outputs(*names: str, binary: bool = True) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def expected_ids(http: httpx.Client, *row: int) -> list[int]:
    body = {"input": {"ids": [*row]}, "options": {"top_k": 5}}
    return [*probabilities(answered(http.post("/v1/models/tiny/predict", json=body))["output"])]


def test_metadata_config_and_statistics(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny", headers=headers())
    assert not client.is_model_ready("nothing", headers=headers())
    assert "sequence(string_id)" in client.get_server_metadata(headers=headers())["extensions"]
    assert client.get_model_metadata("tiny", "1", headers=headers())["name"] == "tiny"
    assert "sequence_batching" in client.get_model_config("tiny", headers=headers())
    assert client.get_inference_statistics("tiny", headers=headers())["model_stats"][0]["name"] == "tiny"
    assert client.get_inference_statistics(headers=headers())["model_stats"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_infer(client: Any, http: httpx.Client, binary_in: bool, binary_out: bool, coding: str | None) -> None:
    result = client.infer(
        "tiny",
        ids(1, 2, binary=binary_in),
        outputs=outputs("TOP_IDS", "LOGITS", "TOP_TOKENS", binary=binary_out),
        headers=headers(),
        request_id="7",
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    assert result.as_numpy("TOP_IDS")[0].tolist() == expected_ids(http, 1, 2)
    logits = result.as_numpy("LOGITS")
    assert logits.dtype == np.float32
    assert logits.argmax() in result.as_numpy("TOP_IDS")
    assert result.as_numpy("TOP_TOKENS").shape == (1, 5)
    assert result.get_response()["id"] == "7"


def test_infer_with_all_outputs(client: Any) -> None:
    result = client.infer("tiny", text("a b"), headers=headers())
    assert result.as_numpy("TOP_PROBABILITIES").dtype == np.float32


def run_sequence(client: Any, name: int | str, words: list[str]) -> list[tuple[list[int], Body]]:
    found = []
    for index, piece in enumerate(words):
        result = client.infer(
            "tiny",
            text(piece),
            outputs=outputs("TOP_IDS"),
            headers=headers(),
            sequence_id=name,
            sequence_start=index == 0,
            sequence_end=index == len(words) - 1,
            parameters={"step": index},
        )
        found.append((result.as_numpy("TOP_IDS")[0].tolist(), result.get_response()["parameters"]))
    return found


@pytest.mark.parametrize("name", [1234, "a stream"])
def test_a_sequence_is_a_session(client: Any, http: httpx.Client, name: int | str) -> None:
    session = new_session(http)
    expected = [[*probabilities(answered(step(http, session, words))["output"])] for words in ("a b", "c", "d")]
    found = run_sequence(client, name, ["a b", "c", "d"])
    assert [top for top, _ in found] == expected
    assert http.get(f"/v1/sessions/{found[0][1]['session_id']}").status_code == 410
    assert [top for top, _ in run_sequence(client, name, ["a b", "c", "d"])] == expected
    with pytest.raises(triton.InferenceServerException, match="must specify the START flag"):
        client.infer("tiny", text("e"), headers=headers(), sequence_id=name)


def test_the_repository(client: Any) -> None:
    assert "tiny" in {entry["name"] for entry in client.get_model_repository_index(headers=headers())}
    client.load_model("tiny", headers=headers())
    with pytest.raises(triton.InferenceServerException, match="not allowed"):
        client.unload_model("tiny", headers=headers())


def test_errors_carry_their_message(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="no API key"):
        client.infer("tiny", ids(1))
    with pytest.raises(triton.InferenceServerException, match="nothing"):
        client.infer("nothing", ids(1), headers=headers())
    with pytest.raises(triton.InferenceServerException, match="expected one of LOGITS"):
        client.infer("tiny", ids(1), outputs=outputs("SCORE"), headers=headers())


async def test_the_asynchronous_client(async_client: Any, http: httpx.Client) -> None:
    assert await async_client.is_server_ready()
    assert (await async_client.get_model_metadata("tiny", headers=headers()))["name"] == "tiny"
    assert "sequence_batching" in await async_client.get_model_config("tiny", headers=headers())
    assert (await async_client.get_inference_statistics("tiny", headers=headers()))["model_stats"]
    for coding in (None, "gzip", "deflate"):
        result = await async_client.infer(
            "tiny", ids(1, 2), outputs=outputs("TOP_IDS"), headers=headers(),
            request_compression_algorithm=coding, response_compression_algorithm=coding,
        )  # fmt: skip
        assert result.as_numpy("TOP_IDS")[0].tolist() == expected_ids(http, 1, 2)


@pytest.mark.parametrize("name", [4321, "an asynchronous stream"])
async def test_the_asynchronous_client_has_sequences(async_client: Any, name: int | str) -> None:
    for index in range(3):
        result = await async_client.infer(
            "tiny", text("a"), headers=headers(), sequence_id=name, sequence_start=index == 0, sequence_end=index == 2
        )
        assert result.get_response()["parameters"]["step"] == index + 1
    with pytest.raises(triton.InferenceServerException, match="must specify the START flag"):
        await async_client.infer("tiny", text("a"), headers=headers(), sequence_id=name)
    await async_client.load_model("tiny", headers=headers())
