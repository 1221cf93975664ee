"""Sequences of the Open Inference Protocol that begin with a vector, over REST and gRPC, with Triton's own clients."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.folders import write_language_model
from tests.server import Body, Server, answered, new_session, post, short_folder, step
from tests.vector_folders import VECTORS, write_captions, write_melodies

rest = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
VECTOR: list[float] = VECTORS[0].tolist()
WORDS = ["the dog", "is", "at home"]
Infer = Callable[..., tuple[list[str], dict[str, Any]]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with short_folder() as folder:
        write_melodies(folder / "models", "styles")
        write_captions(folder / "models")
        write_language_model(folder / "models", "plain")
        with Server(folder, models=folder / "models", workers=1, grpc_port=0) as running:
            yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module", params=["rest", "grpc"])
def infer(request: pytest.FixtureRequest, server: Server) -> Iterator[Infer]:
    """Sends one request; returns the most probable tokens and the answer's parameters."""
    kind = {"rest": rest, "grpc": grpc}[request.param]
    address = server.url.removeprefix("http://") if kind is rest else server.grpc_address

    with kind.InferenceServerClient(address) as client:

        def send(
            model: str, text: str | None = None, vector: list[float] | None = None, **terms: Any
        ) -> tuple[list[str], dict[str, Any]]:
            inputs = []
            if vector is not None:
                inputs.append(kind.InferInput("VECTOR", [1, len(vector)], "FP32"))
                inputs[-1].set_data_from_numpy(np.array([vector], np.float32))
            if text is not None:
                inputs.append(kind.InferInput("TEXT", [1, 1], "BYTES"))
                inputs[-1].set_data_from_numpy(np.array([[text.encode()]], dtype=np.object_))
            result = client.infer(model, inputs, outputs=[kind.InferRequestedOutput("TOP_TOKENS")], **terms)
            told = result.get_response()
            parameters = dict(told["parameters"] if kind is rest else told.parameters)
            if kind is grpc:
                parameters = {
                    name: getattr(one, one.WhichOneof("parameter_choice")) for name, one in parameters.items()
                }
            return [token.decode() for token in result.as_numpy("TOP_TOKENS")[0]], parameters

        yield send


def top_tokens(output: Body) -> list[str]:
    return [prediction["token"] for prediction in output["predictions"]]


def steps_of(http: httpx.Client, model: str, words: list[str]) -> list[list[str]]:
    session = new_session(http, model, input={"vector": VECTOR})
    return [top_tokens(answered(step(http, session, text))["output"]) for text in words]


@pytest.mark.parametrize("model", ["styles", "captions"])
def test_a_sequence_begins_with_its_vector_and_goes_on_without(infer: Infer, http: httpx.Client, model: str) -> None:
    expected = steps_of(http, model, WORDS)
    for _ in range(2):  # the second time in place of the first one
        for index, text in enumerate(WORDS):
            first = {"vector": VECTOR, "sequence_start": True} if index == 0 else {}
            tokens, told = infer(model, text, sequence_id=f"a {model}", **first)
            assert tokens == expected[index]
            assert told["step"] == index + 1


def test_a_vector_alone_is_the_first_step_and_is_applied_once(infer: Infer, http: httpx.Client) -> None:
    terms = {"sequence_id": "alone", "sequence_start": True, "parameters": {"step": 0}}
    tokens, told = infer("styles", None, VECTOR, **terms)
    look = answered(post(http, "/v1/models/styles/predict", {"input": {"vector": VECTOR}}))["output"]
    assert tokens == top_tokens(look)
    assert infer("styles", None, VECTOR, **terms) == (tokens, told | {"replayed": True})
    assert infer("styles", WORDS[0], sequence_id="alone")[0] == steps_of(http, "styles", WORDS[:1])[0]
    session = answered(http.get(f"/v1/sessions/{told['session_id']}"))
    assert (session["step"], session["timesteps"]) == (2, 2)
    # The sequence is a session: a reset of it goes back to the state after the vector.
    answered(post(http, f"/v1/sessions/{told['session_id']}/reset", {}))
    again = answered(post(http, f"/v1/sessions/{told['session_id']}/predict", {}))["output"]
    assert top_tokens(again) == tokens
    infer("styles", WORDS[0], sequence_id="alone", sequence_end=True)


@pytest.mark.parametrize(
    ("model", "given", "mention"),
    [
        ("captions", {"text": "the", "sequence_start": True}, "inputs lacks VECTOR"),
        ("captions", {"text": "the", "vector": VECTOR[:3], "sequence_start": True}, r"\[1, 3\]: expected \[batch, 6\]"),
        ("captions", {"text": "the", "vector": [*VECTOR[:5], 1e30], "sequence_start": True}, r"VECTOR\[0, 5\] is"),
        ("captions", {"text": "the", "vector": VECTOR}, "has VECTOR: expected it in the first request of a sequence"),
        ("captions", {"text": "the"}, "must specify the START flag"),
        ("plain", {"text": "the", "vector": VECTOR, "sequence_start": True}, "inputs has 'VECTOR': expected one of"),
    ],
)  # fmt: skip
def test_a_wrong_beginning_is_refused_by_name(infer: Infer, model: str, given: dict[str, Any], mention: str) -> None:
    with pytest.raises((rest.InferenceServerException, grpc.InferenceServerException), match=mention):
        infer(model, sequence_id=77, **given)


def test_a_refused_request_leaves_the_sequence_as_it_was(infer: Infer, http: httpx.Client) -> None:
    expected = steps_of(http, "captions", WORDS)
    infer("captions", WORDS[0], VECTOR, sequence_id=78, sequence_start=True)
    for given in ({"vector": VECTOR}, {"sequence_start": True}, {"vector": VECTOR[:2], "sequence_start": True}):
        with pytest.raises((rest.InferenceServerException, grpc.InferenceServerException)):
            infer("captions", WORDS[1], sequence_id=78, **given)
    assert infer("captions", WORDS[1], sequence_id=78)[0] == expected[1]


def test_the_configuration_says_that_there_are_sequences(http: httpx.Client) -> None:
    config = answered(http.get("/v2/models/captions/config"))
    assert "sequence_batching" in config
    assert [tensor["optional"] for tensor in config["input"] if tensor["name"] == "VECTOR"] == [True]
