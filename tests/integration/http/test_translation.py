"""Translation over HTTP: texts, scores, and a translator's session, on a small network with random weights."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.event_streams import stream
from tests.folders import write_language_model
from tests.rounding import LOGIT, PROBABILITY
from tests.server import Body, Server, answered, look_up, post, refusal, short_folder, step
from tests.translation_folders import write_encoder_decoder

SOURCE = {"text": "I am hungry."}


@pytest.fixture(scope="module")
def translating() -> Iterator[Server]:
    with short_folder() as folder:
        write_encoder_decoder(folder / "models", "mt")
        write_language_model(folder / "models", "words")
        with Server(folder, models=folder / "models", workers=2) as server:
            yield server


@pytest.fixture(scope="module")
def http(translating: Server) -> Iterator[httpx.Client]:
    with translating.client() as client:
        yield client


def open_session(http: httpx.Client, source: Body = SOURCE, **fields: Any) -> str:
    return str(answered(post(http, "/v1/sessions", {"model": "mt", "input": source, **fields}), 201)["id"])


def test_a_translation_has_its_score_alternatives_and_attention(http: httpx.Client) -> None:
    options = {"beam_size": 3, "alternatives": 2, "attention": True, "max_tokens": 8}
    found = answered(post(http, "/v1/models/mt/predict", {"input": SOURCE, "options": options}))["output"]
    translations = found["translations"]
    assert len(translations) == 3
    assert [translation["score"] for translation in translations] == sorted(
        (translation["score"] for translation in translations), reverse=True
    )
    for one in translations:
        assert len(one["attention"]) == len(one["tokens"])
        assert {len(row) for row in one["attention"]} == {len(one["source_tokens"])}


def test_a_score_is_the_log_probability_of_the_given_target(http: httpx.Client) -> None:
    greedy = {"beam_size": 1, "max_tokens": 6}
    best = answered(post(http, "/v1/models/mt/predict", {"input": SOURCE, "options": greedy}))
    translation = best["output"]["translations"][0]
    scored = answered(post(http, "/v1/models/mt/score", {"input": {**SOURCE, "target": translation["text"]}}))["output"]
    assert len(scored["tokens"]) == len(scored["logprobs"])
    assert scored["total_logprob"] == pytest.approx(sum(scored["logprobs"]), abs=LOGIT * len(scored["logprobs"]))


def test_a_session_stands_on_its_source_and_continues_on_accepted_words(http: httpx.Client) -> None:
    session = open_session(http)
    assert {"task": "translation", "step": 0, "timesteps": 0}.items() <= look_up(http, session).items()
    ahead = answered(post(http, f"/v1/sessions/{session}/predict", {}))["output"]
    first = answered(step(http, session, "J'ai", step=0))
    assert first["step"] == 1
    assert first["output"].keys() == ahead.keys() == {"predictions", "completion"}
    again = step(http, session, "J'ai", step=0)
    assert again.headers["unroll-replayed"] == "true"
    assert again.json() == first
    second = answered(step(http, session, "faim", step=1))
    other = open_session(http)
    at_once = answered(step(http, other, "J'ai faim", step=0))
    assert at_once["timesteps"] == second["timesteps"]
    ours = {prediction["token"]: prediction["probability"] for prediction in second["output"]["predictions"]}
    assert ours == pytest.approx(
        {prediction["token"]: prediction["probability"] for prediction in at_once["output"]["predictions"]},
        abs=PROBABILITY,
    )


def test_a_keyed_creation_with_another_source_is_refused(http: httpx.Client) -> None:
    body = {"model": "mt", "input": SOURCE}
    first = answered(post(http, "/v1/sessions", body, key="one-source"), 201)
    again = post(http, "/v1/sessions", body, key="one-source")
    assert (again.json()["id"], again.headers["unroll-replayed"]) == (first["id"], "true")
    other = post(http, "/v1/sessions", {"model": "mt", "input": {"text": "Go."}}, key="one-source")
    refusal(other, 422, "idempotency_key_reused")


def test_a_generation_is_the_best_translation_and_streams_its_tokens_at_the_end(http: httpx.Client) -> None:
    source = {"text": "I am hungry.\n\nGo home. I am hungry."}
    best = answered(
        post(http, "/v1/models/mt/predict", {"input": source, "options": {"beam_size": 4, "max_tokens": 9}})
    )["output"]["translations"][0]
    whole = answered(post(http, "/v1/models/mt/generate", {"input": source, "options": {"max_tokens": 9}}))
    assert (whole["output"]["text"], whole["output"]["finish_reason"]) == (best["text"], best["finish_reason"])
    assert [token for token in best["tokens"] if token in whole["output"]["tokens"]] == whole["output"]["tokens"]
    assert all(logprob <= 0 for logprob in whole["output"]["logprobs"])
    body = {"input": source, "options": {"max_tokens": 9, "stream": True}}
    assert stream(http, "/v1/models/mt/generate", body).answer == whole


def test_a_session_of_a_translation_generates_nothing(http: httpx.Client) -> None:
    for options in ({}, {"stream": True}):
        response = post(http, f"/v1/sessions/{open_session(http)}/generate", {"options": options})
        refusal(response, 422, "invalid_request", "expected predict, score or a step")


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/models/mt/predict", {"input": {"tokens": ["Go"]}}, "input.text"),
        ("/v1/models/mt/predict", {"input": SOURCE, "options": {"top_k": 3}}, "options.top_k"),
        ("/v1/models/mt/predict", {"input": SOURCE, "options": {"beam_size": 0}}, "options.beam_size"),
        ("/v1/models/mt/predict", {"input": {"text": ""}}, "input.text"),
        ("/v1/models/mt/score", {"input": SOURCE}, "input.target"),
        ("/v1/models/words/predict", {"input": {"text": "the"}, "options": {"beam_size": 2}}, "options.beam_size"),
        ("/v1/models/words/predict", {"input": {"text": "the"}, "options": {"beam_size": 4}}, "options.beam_size"),
        ("/v1/models/words/score", {"input": {"text": "the", "target": "le"}}, "input.target"),
        ("/v1/models/mt/generate", {"input": SOURCE, "options": {"top_k": 3}}, "options.top_k"),
        ("/v1/models/mt/generate", {"input": SOURCE, "options": {"temperature": 0.5}}, "options.temperature"),
        ("/v1/models/mt/generate", {"input": SOURCE, "options": {"stop": ["."], "stream": True}}, "options.stop"),
        ("/v1/sessions", {"model": "mt"}, "input"),
        ("/v1/sessions", {"model": "words", "input": {"text": "the"}}, "input"),
    ],
)
def test_what_belongs_to_another_task_is_refused_by_name(http: httpx.Client, path: str, body: Body, named: str) -> None:
    assert named in str(refusal(post(http, path, body), 422, "invalid_request")["message"])
