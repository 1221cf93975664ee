"""Resets over HTTP, for every task."""

from collections.abc import Iterator

import httpx
import pytest

from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.rounding import FORECAST, PROBABILITY
from tests.server import Body, Server, answered, look_up, new_session, post, refusal, short_folder, step
from tests.translation_folders import write_encoder_decoder

SOURCE = {"text": "I am hungry."}
ROWS = [110.0, 95.0, None, 120.0]
TIMES = {"start": "2024-05-01T00:00:00Z", "step_seconds": 1800}


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with short_folder() as folder:
        write_language_model(folder / "models", "words")
        write_encoder_decoder(folder / "models", "mt")
        write_forecaster(folder / "models", name="load", calendar=["hour_of_day"])
        with Server(folder, models=folder / "models", workers=2) as server:
            yield server


@pytest.fixture(scope="module")
def http(service: Server) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def reset(http: httpx.Client, session: str, body: object = None, key: str | None = None) -> httpx.Response:
    return post(http, f"/v1/sessions/{session}/reset", body, key=key)


def probabilities(answer: Body) -> dict[str, float]:
    return {prediction["token"]: prediction["probability"] for prediction in answer["output"]["predictions"]}


def test_a_reset_answers_with_the_session_one_step_on(http: httpx.Client) -> None:
    session = new_session(http, "words")
    first = answered(step(http, session, "the"))
    answered(step(http, session, "dog is"))
    response = reset(http, session)
    assert answered(response) == look_up(http, session)
    assert "unroll-replayed" not in response.headers
    assert (response.json()["step"], response.json()["timesteps"]) == (3, 3)
    assert probabilities(answered(step(http, session, "the"))) == pytest.approx(probabilities(first), abs=PROBABILITY)


@pytest.mark.parametrize("body", [None, {}, {"step": None}])
def test_the_body_of_a_reset_may_be_left_out(http: httpx.Client, body: object) -> None:
    assert answered(reset(http, new_session(http, "words"), body))["step"] == 1


def test_a_reset_leads_to_a_kept_step(http: httpx.Client) -> None:
    session = new_session(http, "words", kept_steps=3)
    answers = [answered(step(http, session, word)) for word in ("the", "dog", "is")]
    assert answered(reset(http, session, {"step": 1}))["step"] == 4
    again = answered(step(http, session, "dog"))
    assert probabilities(again) == pytest.approx(probabilities(answers[1]), abs=PROBABILITY)
    error = refusal(reset(http, session, {"step": 0}), 422, "invalid_request", "step", "[2, 3, 4, 5]")
    assert error["applied"] == "no"


def test_a_repeated_reset_is_replayed(http: httpx.Client) -> None:
    session = new_session(http, "words")
    answered(step(http, session, "the"))
    first, again = (reset(http, session, key="back") for _ in range(2))
    assert again.headers["unroll-replayed"] == "true"
    assert (again.status_code, again.content) == (200, first.content)
    refusal(reset(http, session, {"step": 1}, key="back"), 422, "idempotency_key_reused")
    answered(step(http, session, "dog", key="on"))
    error = refusal(reset(http, session, key="back"), 409, "step_conflict")
    assert (error["applied"], error["step"]) == ("yes", 3)


def test_a_translation_keeps_its_source_through_a_reset(http: httpx.Client) -> None:
    session = new_session(http, "mt", input=SOURCE)
    other = new_session(http, "mt", input={"text": "Go away now."})
    first = answered(step(http, session, "J'ai"))
    second = answered(step(http, session, "faim"))
    for _ in range(2):
        answered(reset(http, session))
        found = answered(step(http, session, "J'ai"))
        assert probabilities(found) == pytest.approx(probabilities(first), abs=PROBABILITY)
        assert found["output"]["completion"]["text"] == first["output"]["completion"]["text"]
    assert found["timesteps"] == second["timesteps"] + 2 * first["timesteps"]
    assert probabilities(answered(step(http, other, "J'ai"))) != probabilities(first)


def test_a_series_begins_anew_after_a_reset_at_any_time(http: httpx.Client) -> None:
    session = new_session(http, "load")
    body = {"input": {"values": ROWS, "timestamps": TIMES}}
    path = f"/v1/sessions/{session}/steps"
    first = answered(post(http, path, body))
    assert first["output"]["timestamps"][0] == "2024-05-01T02:00:00Z"
    answered(post(http, path, {"input": {"values": [400.0], "timestamps": ["2024-05-01T02:00:00Z"]}}))
    answered(reset(http, session))
    refusal(post(http, f"/v1/sessions/{session}/predict", {}), 422, "invalid_request", "input.values")
    again = answered(post(http, path, body))
    assert again["output"]["mean"] == pytest.approx(first["output"]["mean"], abs=20 * FORECAST)
    assert again["output"]["timestamps"] == first["output"]["timestamps"]
    assert again["output"]["observed"] == first["output"]["observed"]


def test_a_session_that_is_over_or_never_was_cannot_be_reset(http: httpx.Client) -> None:
    session = new_session(http, "words")
    http.delete(f"/v1/sessions/{session}")
    assert refusal(reset(http, session), 410, "session_ended")["applied"] == "no"
    assert refusal(reset(http, "ses_x"), 404, "session_not_found")["applied"] == "no"


def test_what_is_wrong_in_a_reset_is_refused_by_name(http: httpx.Client) -> None:
    session = new_session(http, "words")
    for body, named in (({"step": -1}, "step"), ({"step": "1"}, "step"), ({"input": {"text": "the"}}, "input")):
        refusal(reset(http, session, body), 422, "invalid_request", named)
    refusal(reset(http, session, key="x" * 256), 422, "invalid_request", "Idempotency-Key")
    assert look_up(http, session)["step"] == 0
