"""Models whose sequences begin with a vector, over HTTP: stateless, in sessions at any cut, and in other protocols."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tests.event_streams import stream, streaming
from tests.folders import write_language_model
from tests.rounding import LOGIT, PROBABILITY
from tests.server import (
    Body,
    Server,
    answered,
    assert_same_predictions,
    look_up,
    new_session,
    post,
    refusal,
    short_folder,
)
from tests.vector_folders import SIZE, VECTORS, WORDS, make_captions, make_melodies, write_captions, write_melodies

TEXT = ["the", "dog", "is", "at", "home", "Tom", "know"]
CUTS = [[1] * 7, [3, 4], [2, 1, 4]]
VECTOR: list[float] = VECTORS[0].tolist()
OTHER: list[float] = VECTORS[1].tolist()
MODELS = ["styles", "captions"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with models whose sequences begin with a vector, and one without."""
    with short_folder() as path:
        write_melodies(path / "models", "styles")
        write_captions(path / "models")
        write_language_model(path / "models", "plain")
        yield path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Server(folder, models=folder / "models", workers=2) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def predict(http: httpx.Client, model: str, **given: Any) -> Body:
    output: Body = answered(post(http, f"/v1/models/{model}/predict", {"input": given}))["output"]
    return output


def trainers_logprobs(model: str, vector: list[float], tokens: list[str]) -> "torch.Tensor":
    """What the trainer's own network says of the token behind these, in front of which the begin token was read."""
    ids = torch.tensor([[WORDS.index(token) for token in ["<s>", *tokens]]])
    given = torch.tensor([vector])
    with torch.no_grad():
        if model == "styles":
            return make_melodies()(given, ids)[0][0, -1].log_softmax(-1)
        return make_captions()(given, torch.cat([ids, ids[:, :1]], 1))[0][0, -1].log_softmax(-1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("tokens", [[], TEXT[:1], TEXT], ids=len)
def test_predictions_are_those_of_the_trainers_network(http: httpx.Client, model: str, tokens: list[str]) -> None:
    output = predict(http, model, vector=VECTOR, **({"tokens": tokens} if tokens else {}))
    expected = trainers_logprobs(model, VECTOR, tokens).exp()
    assert len(output["predictions"]) == 5
    for prediction in output["predictions"]:
        assert prediction["probability"] == pytest.approx(float(expected[prediction["id"]]), abs=PROBABILITY)
    assert (output["observed"] is None) is not tokens or output["observed"]["tokens"] == len(tokens)


@pytest.mark.parametrize("model", MODELS)
def test_scores_and_generations_are_those_of_the_trainers_network(http: httpx.Client, model: str) -> None:
    given = {"vector": VECTOR, "tokens": TEXT}
    scored = answered(post(http, f"/v1/models/{model}/score", {"input": given}))["output"]
    for place, (token, logprob) in enumerate(zip(TEXT, scored["logprobs"], strict=True)):
        expected = trainers_logprobs(model, VECTOR, TEXT[:place])[WORDS.index(token)]
        assert logprob == pytest.approx(float(expected), abs=LOGIT)
    for text in ({}, {"tokens": TEXT[:2]}):
        body = {"input": {"vector": VECTOR, **text}, "options": {"temperature": 0, "max_tokens": 4}}
        made = answered(post(http, f"/v1/models/{model}/generate", body))["output"]
        tokens = list(text.get("tokens", []))
        for token, logprob in zip(made["tokens"], made["logprobs"], strict=True):
            expected = trainers_logprobs(model, VECTOR, tokens)[WORDS.index(token)]
            assert logprob == pytest.approx(float(expected), abs=LOGIT)
            tokens.append(token)


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_a_session_answers_as_one_request_at_any_cut(http: httpx.Client, model: str, cut: list[int]) -> None:
    session = new_session(http, model, input={"vector": VECTOR})
    assert look_up(http, session)["timesteps"] == 0
    assert_same_predictions(
        answered(post(http, path(session, "predict"), {}))["output"], predict(http, model, vector=VECTOR)
    )
    end = 0
    for count in cut:
        end += count
        output = feed(http, session, TEXT[end - count : end])
        assert_same_predictions(output, predict(http, model, vector=VECTOR, tokens=TEXT[:end]))
    whole = answered(post(http, f"/v1/models/{model}/score", {"input": {"vector": VECTOR, "tokens": TEXT}}))["output"]
    assert output["observed"]["mean_logprob"] == pytest.approx(sum(whole["logprobs"][-cut[-1] :]) / cut[-1], abs=LOGIT)


def path(session: str, call: str) -> str:
    return f"/v1/sessions/{session}/{call}"


def feed(http: httpx.Client, session: str, tokens: list[str]) -> Body:
    output: Body = answered(post(http, path(session, "steps"), {"input": {"tokens": tokens}}))["output"]
    return output


@pytest.mark.parametrize("model", MODELS)
def test_a_fork_an_import_and_a_reset_keep_the_vector(http: httpx.Client, model: str) -> None:
    session = new_session(http, model, input={"vector": VECTOR})
    feed(http, session, TEXT[:3])
    exported = http.get(path(session, "state")).content
    copies = [
        answered(post(http, path(session, "fork"), {}), 201)["id"],
        answered(http.post("/v1/sessions/import", content=exported), 201)["id"],
    ]
    expected = feed(http, session, TEXT[3:])
    first = predict(http, model, vector=VECTOR, tokens=TEXT[:1])
    for copy in copies:
        assert feed(http, copy, TEXT[3:]) == expected
    for own in (session, *copies):
        told = answered(post(http, path(own, "reset"), {}))
        assert told["timesteps"] == look_up(http, own)["timesteps"]
        assert_same_predictions(feed(http, own, TEXT[:1]), first)


def test_a_repeated_creation_finds_its_session_and_another_vector_is_another_body(http: httpx.Client) -> None:
    body = {"model": "styles", "input": {"vector": VECTOR}}
    first, again = (answered(post(http, "/v1/sessions", body, key="once-and-again"), 201) for _ in range(2))
    assert first["id"] == again["id"]
    changed = post(http, "/v1/sessions", {**body, "input": {"vector": OTHER}}, key="once-and-again")
    refusal(changed, 422, "idempotency_key_reused")


@pytest.mark.parametrize("model", MODELS)
def test_many_vectors_share_forward_passes_without_changing_one_another(http: httpx.Client, model: str) -> None:
    inputs = [{"vector": vector, "tokens": TEXT[:count]} for vector in (VECTOR, OTHER) for count in (1, 3, 7, 2)]
    inputs += [{"vector": OTHER}]
    together = answered(post(http, f"/v1/models/{model}/predict", {"inputs": inputs}))["outputs"]
    for given, output in zip(inputs, together, strict=True):
        assert_same_predictions(output, predict(http, model, **given))
    assert together[0] != together[4]


def test_tokens_are_streamed_from_a_vector_alone_and_from_a_session(http: httpx.Client) -> None:
    options = {"temperature": 0, "max_tokens": 5}
    body = {"input": {"vector": VECTOR}, "options": options}
    whole = answered(post(http, "/v1/models/captions/generate", body))["output"]
    session = new_session(http, "captions", input={"vector": VECTOR})
    for target, given in (("/v1/models/captions/generate", body), (path(session, "generate"), {})):
        streamed = stream(http, target, streaming(given, **options))
        assert streamed.answer["output"]["tokens"] == whole["tokens"]


LOOKS: list[tuple[str, dict[str, Any], str, str]] = [
    ("predict", {"text": "the"}, "input.vector", f"input.vector is missing: expected {SIZE} numbers"),
    ("generate", {"text": "the"}, "input.vector", "input.vector is missing"),
    ("score", {"text": "the"}, "input.vector", "input.vector is missing"),
    ("score", {"vector": VECTOR}, "input.text", "input.text is missing: expected text beside input.vector"),
    ("predict", {"vector": VECTOR[:3]}, "input.vector", f"input.vector has 3 numbers: expected {SIZE}"),
    ("generate", {"vector": [*VECTOR, 0.5], "text": "the"}, "input.vector", "input.vector has 7 numbers"),
    ("predict", {"vector": [1, None, 2]}, "input.vector[1]", "expected a number"),
    ("predict", {"vector": [1, True]}, "input.vector[1]", "expected a number"),
    ("predict", {"vector": ["1"]}, "input.vector[0]", "expected a number"),
    ("predict", {"vector": [0, 1e13]}, "input.vector[1]", "expected a number between -1e+12 and 1e+12"),
    ("predict", {"vector": []}, "input.vector", "expected a list of at least one number"),
    ("predict", {"vector": 3}, "input.vector", "expected a list of at least one number"),
    ("predict", {"vector": VECTOR, "values": [1.0]}, "input.vector", "alone, or beside text, tokens or ids"),
]


@pytest.mark.parametrize(("call", "given", "param", "mention"), LOOKS, ids=str)
def test_a_wrong_vector_is_refused_by_its_place(
    http: httpx.Client, call: str, given: dict[str, Any], param: str, mention: str
) -> None:
    error = refusal(post(http, f"/v1/models/styles/{call}", {"input": given}), 422, "invalid_request", mention)
    assert error["param"] == param


def test_a_bare_nan_is_no_json_and_an_overflow_is_out_of_range(http: httpx.Client) -> None:
    for number, status in (("NaN", 400), ("1e999", 422)):
        content = b'{"input": {"vector": [0, %b]}}' % number.encode()
        response = post(http, "/v1/models/styles/predict", content)
        assert response.status_code == status, response.text


def test_a_vector_is_refused_where_none_is_read(http: httpx.Client) -> None:
    expected = "input.vector has 6 numbers: expected none"
    for call in ("predict", "generate", "score"):
        body = {"input": {"vector": VECTOR, "text": "the"}}
        refusal(post(http, f"/v1/models/plain/{call}", body), 422, "invalid_request", expected)
    body = {"model": "plain", "input": {"vector": VECTOR}}
    assert refusal(post(http, "/v1/sessions", body), 422, "invalid_request", expected)["param"] == "input.vector"


def test_a_session_takes_its_vector_once_at_its_creation(http: httpx.Client) -> None:
    openings: list[tuple[Body, str, str]] = [
        ({}, "input.vector", "input.vector is missing"),
        ({"input": {"text": "the"}}, "input.vector", "input.vector is missing"),
        (
            {"input": {"vector": VECTOR, "text": "the"}},
            "input.text",
            "is given: expected input.vector alone",
        ),
    ]
    for fields, param, mention in openings:
        response = post(http, "/v1/sessions", {"model": "styles", **fields})
        assert refusal(response, 422, "invalid_request", mention)["param"] == param
    session = new_session(http, "styles", input={"vector": VECTOR})
    for call in ("steps", "predict", "generate"):
        for text in ({}, {"text": "the"}):
            body = {"input": {"vector": VECTOR, **text}}
            answer = post(http, path(session, call), body)
            error = refusal(answer, 422, "invalid_request", "has begun with a vector already")
            assert error["param"] == "input.vector"
    assert look_up(http, session)["step"] == 0


def test_one_of_several_inputs_without_a_vector_is_named(http: httpx.Client) -> None:
    inputs = [{"vector": VECTOR, "text": "the"}, {"text": "the"}]
    error = refusal(post(http, "/v1/models/styles/predict", {"inputs": inputs}), 422, "invalid_request")
    assert (error["param"], error["message"][:27]) == ("inputs[1].vector", "inputs[1].vector is missing")


def test_the_models_say_what_their_sequences_begin_with(http: httpx.Client) -> None:
    models = {model["id"]: model for model in answered(http.get("/v1/models"))["data"]}
    assert models["captions"]["vector_size"] == SIZE
    assert f"a vector of {SIZE} numbers (input.vector)" in models["styles"]["description"]
    assert "vector_size" not in models["plain"]


def test_completions_are_refused_by_name(http: httpx.Client) -> None:
    for streams in (False, True):
        body = {"model": "captions", "prompt": "the", "stream": streams}
        error = refusal(
            post(http, "/v1/completions", body), 422, "invalid_request", "'captions'", "begin with a vector"
        )
        assert error["param"] == "model"


def test_the_vector_is_a_tensor_of_the_open_inference_protocol(http: httpx.Client) -> None:
    inputs = answered(http.get("/v2/models/captions"))["inputs"]
    assert inputs[0] == {"name": "VECTOR", "datatype": "FP32", "shape": [-1, SIZE]}
    vectors = {"name": "VECTOR", "datatype": "FP32", "shape": [2, SIZE], "data": [*VECTOR, *OTHER]}
    ids = {"name": "TOKEN_IDS", "datatype": "INT64", "shape": [2, 2], "data": [5, 7, 9, 3]}
    for tensors, texts in (([vectors], [{}, {}]), ([vectors, ids], [{"ids": [5, 7]}, {"ids": [9, 3]}])):
        answer = answered(post(http, "/v2/models/captions/infer", {"inputs": tensors}))
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        expected = [
            predict(http, "captions", vector=own, **text) for own, text in zip((VECTOR, OTHER), texts, strict=True)
        ]
        ids_of = [prediction["id"] for output in expected for prediction in output["predictions"]]
        assert outputs["TOP_IDS"] == ids_of


@pytest.mark.parametrize(
    ("changes", "mention"),
    [
        ({"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["the"]}, "inputs lacks VECTOR"),
        ({"shape": [1, 3], "data": [1.0, 2.0, 3.0]}, f"expected [batch, {SIZE}]"),
        ({"data": [1.0, 2.0, 3.0, 4.0, 5.0, 1e30]}, "VECTOR[0, 5] is"),
    ],
    ids=str,
)
def test_a_wrong_tensor_is_refused(http: httpx.Client, changes: dict[str, Any], mention: str) -> None:
    tensor = {"name": "VECTOR", "datatype": "FP32", "shape": [1, SIZE], "data": VECTOR} | changes
    response = post(http, "/v2/models/captions/infer", {"inputs": [tensor]})
    assert response.status_code in {400, 422}, response.text
    assert mention in response.json()["error"]
