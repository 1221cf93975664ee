"""Models with windows over HTTP: sessions answer as one request for the last inputs does, on any worker at any cut."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load

from tests.encoder_folders import write_encoder
from tests.folders import WORDS, write_language_model
from tests.forecast_folders import write_forecaster
from tests.rounding import FORECAST, LOGIT
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
from tests.state_files import with_tensors

WINDOW = 4
TEXT = WORDS[5:16]
VALUES = [100.0, 103.0, None, 96.0, 120.0, 131.0, 99.0, 97.5, None, 102.0, 110.0]
CUTS = [[1] * 11, [4, 7], [2, 1, 8]]
#: What a forecast may differ by, in the units of the test models, whose scales are 20.
CLOSE = 20 * FORECAST


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with short_folder() as folder:
        models = folder / "models"
        write_language_model(models, "words", window=WINDOW)
        write_language_model(models, "padded", padding={"side": "left", "token": "the", "length": WINDOW})
        write_forecaster(models, "sensor", window=WINDOW, missing_indicator=True)
        write_encoder(models, "tagger", "tagging", window=WINDOW, bidirectional=True)
        with Server(folder, models=models, workers=2) as running:
            yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def given(model: str, start: int, end: int) -> Body:
    return {"values": VALUES[start:end]} if model == "sensor" else {"tokens": TEXT[start:end]}


def feed(http: httpx.Client, session: str, model: str, start: int, end: int) -> Body:
    return answered(post(http, f"/v1/sessions/{session}/steps", {"input": given(model, start, end)}))["output"]


def assert_same(model: str, output: Any, expected: Any) -> None:
    if model == "sensor":
        np.testing.assert_allclose(output["mean"], expected["mean"], atol=CLOSE, rtol=0)
    else:
        assert_same_predictions(output, expected)


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("model", ["words", "padded", "sensor"])
def test_a_session_answers_as_one_request_does_and_after_a_restart(
    server: Server, http: httpx.Client, model: str, cut: list[int]
) -> None:
    session, fed = new_session(http, model), 0
    for number, count in enumerate(cut):
        output = feed(http, session, model, fed, fed + count)
        fed += count
        whole = answered(post(http, f"/v1/models/{model}/predict", {"input": given(model, 0, fed)}))
        assert_same(model, output, whole["output"])
        if number == 0 and cut == CUTS[2]:
            server.terminate()
            server.restart()


def test_a_long_text_is_answered_as_its_last_words(http: httpx.Client) -> None:
    long, recent = (
        answered(post(http, "/v1/models/words/predict", {"input": {"tokens": tokens}}))["output"]
        for tokens in (TEXT, TEXT[-WINDOW:])
    )
    assert_same_predictions(long, recent)


def test_a_score_reads_the_window_before_each_token(http: httpx.Client) -> None:
    scores = answered(post(http, "/v1/models/words/score", {"input": {"tokens": TEXT}}))["output"]["logprobs"]
    for place in range(WINDOW, len(TEXT)):
        tokens = TEXT[place - WINDOW : place + 1]
        own = answered(post(http, "/v1/models/words/score", {"input": {"tokens": tokens}}))["output"]["logprobs"]
        assert scores[place] == pytest.approx(own[-1], abs=LOGIT)


@pytest.mark.parametrize("model", ["words", "padded"])
def test_each_generated_token_moves_the_window(http: httpx.Client, model: str) -> None:
    session = new_session(http, model)
    feed(http, session, model, 0, 3)
    options = {"max_tokens": 8, "temperature": 0}
    generated = answered(post(http, f"/v1/sessions/{session}/generate", {"options": options}))["output"]["tokens"]
    tokens = TEXT[:3]
    for token in generated:
        answer = answered(post(http, f"/v1/models/{model}/predict", {"input": {"tokens": tokens}}))
        predictions = answer["output"]["predictions"]
        assert predictions[0]["token"] == token
        tokens = [*tokens, token]
    after = answered(post(http, f"/v1/sessions/{session}/predict", {}))["output"]
    whole = answered(post(http, f"/v1/models/{model}/predict", {"input": {"tokens": tokens}}))["output"]
    assert_same_predictions(after, whole)


@pytest.mark.parametrize("model", ["words", "padded", "sensor"])
def test_a_fork_and_an_import_go_on_like_their_session(http: httpx.Client, model: str) -> None:
    session = new_session(http, model)
    feed(http, session, model, 0, 6)
    content = http.get(f"/v1/sessions/{session}/state").content
    copies = [
        answered(post(http, f"/v1/sessions/{session}/fork", {}), 201)["id"],
        answered(http.post("/v1/sessions/import", content=content), 201)["id"],
    ]
    expected = feed(http, session, model, 6, 9)
    for copy in copies:
        assert feed(http, copy, model, 6, 9) == expected
        assert look_up(http, copy)["timesteps"] == 9


@pytest.mark.parametrize(
    ("model", "name", "value", "mention"),
    [
        ("words", "window", len(WORDS), f"whole numbers from 0 to {len(WORDS) - 1}"),
        ("words", "window", 2.5, "whole numbers"),
        ("words", "inputs", WINDOW + 1, f"whole numbers from 0 to {WINDOW}"),
        ("sensor", "inputs", -1, f"whole numbers from 0 to {WINDOW}"),
        ("sensor", "inputs", np.nan, "finite numbers"),
    ],
)
def test_an_impossible_window_is_not_imported(
    http: httpx.Client, model: str, name: str, value: float, mention: str
) -> None:
    session = new_session(http, model)
    feed(http, session, model, 0, 6)
    content = http.get(f"/v1/sessions/{session}/state").content
    changed = with_tensors(content, **{name: np.full_like(load(content)[name], value)})
    error = refusal(http.post("/v1/sessions/import", content=changed), 422, "invalid_request", mention)
    assert error["param"] == f"tensors.{name}"


def test_a_request_is_charged_for_the_rows_of_all_its_windows() -> None:
    with short_folder() as folder:
        models = folder / "models"
        write_language_model(models, "words", window=WINDOW)
        with Server(folder, models=models, max_request_timesteps=3 * WINDOW) as server, server.client() as http:
            answered(post(http, "/v1/models/words/predict", {"input": {"tokens": TEXT[:3]}}))
            body = {"input": {"tokens": TEXT[:4]}}
            refusal(
                post(http, "/v1/models/words/predict", body), 413, "input_too_long", f"up to {4 * WINDOW} timesteps"
            )


def test_a_tagger_of_both_directions_has_sessions_with_a_window(http: httpx.Client) -> None:
    model = http.get("/v1/models/tagger").json()
    assert model["state_bytes"] == 8 + 4 * (WINDOW + 1)
    whole = answered(post(http, "/v1/models/tagger/predict", {"input": {"tokens": TEXT}}))["output"]["tags"]
    for cut in CUTS:
        session, fed, tags = new_session(http, "tagger"), 0, []
        for count in cut:
            tags += feed(http, session, "tagger", fed, fed + count)["tags"]
            fed += count
        assert [tag["tag"] for tag in tags] == [tag["tag"] for tag in whole]
        np.testing.assert_allclose(
            [tag["probability"] for tag in tags], [tag["probability"] for tag in whole], atol=1e-5
        )
    content = http.get(f"/v1/sessions/{session}/state").content
    copy = answered(http.post("/v1/sessions/import", content=content), 201)["id"]
    assert feed(http, copy, "tagger", 0, 3) == feed(http, session, "tagger", 0, 3)
