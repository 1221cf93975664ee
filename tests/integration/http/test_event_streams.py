"""Generations as Server-Sent Events: the tokens as they come, then the answer that a request without a stream gets."""

import httpx
import pytest

from tests.event_streams import stream, streaming
from tests.metrics import Metrics
from tests.server import Body, answered, look_up, new_session, post, refusal, step

PATH = "/v1/models/tiny/generate"
TEXT = {"input": {"text": "the dog"}}


def whole(http: httpx.Client, path: str, body: Body, **options: object) -> Body:
    """Return the answer of the same request without a stream."""
    return answered(post(http, path, {**body, "options": options}))


# Without a session.


@pytest.mark.parametrize("model", ["tiny", "pair", "next-word"])
@pytest.mark.parametrize("options", [{"temperature": 0}, {"seed": 7, "top_p": 0.9}, {"seed": 3, "max_tokens": 1}])
def test_the_tokens_of_a_stream_are_those_of_the_answer(http: httpx.Client, model: str, options: Body) -> None:
    path = f"/v1/models/{model}/generate"
    streamed = stream(http, path, streaming(TEXT, **options)).answer
    expected = whole(http, path, TEXT, **options)
    assert streamed["output"]["tokens"] == expected["output"]["tokens"]
    assert {name: streamed[name] for name in ("model", "version", "usage")} == {
        name: expected[name] for name in ("model", "version", "usage")
    }


def test_a_stop_text_is_in_no_event(http: httpx.Client) -> None:
    text = whole(http, PATH, TEXT, seed=1, max_tokens=12)["output"]["text"]
    words = text.split()
    options = {"seed": 1, "max_tokens": 12, "stop": [f"{words[5]} {words[6]}", "never " * 9]}
    streamed = stream(http, PATH, streaming(TEXT, **options))
    assert streamed.answer["output"] == whole(http, PATH, TEXT, **options)["output"]
    assert streamed.answer["output"]["finish_reason"] == "stop"


def test_a_stop_text_within_a_word_leaves_what_is_before_it(http: httpx.Client) -> None:
    text = whole(http, PATH, TEXT, seed=1, max_tokens=12)["output"]["text"]
    word = next(word for word in text.split()[1:] if len(word) > 2)
    streamed = stream(http, PATH, streaming(TEXT, seed=1, max_tokens=12, stop=[word[1:]]))
    assert streamed.answer["output"]["text"].endswith(word[0])


def test_a_stream_says_that_it_is_one_and_is_not_stored(http: httpx.Client) -> None:
    headers = stream(http, PATH, streaming(TEXT), **{"X-Request-Id": "streamed"}).headers
    assert headers["x-request-id"] == "streamed"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"
    assert "content-length" not in headers


def test_several_streams_use_one_connection_in_turn(http: httpx.Client) -> None:
    assert stream(http, PATH, streaming(TEXT, seed=1)).answer == stream(http, PATH, streaming(TEXT, seed=1)).answer


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "mention"),
    [
        (PATH, streaming(TEXT) | {"inputs": 1}, 422, "invalid_request", "inputs"),
        (PATH, {**TEXT, "options": {"stream": "yes"}}, 422, "invalid_request", "options.stream"),
        (PATH, {**TEXT, "options": {"stream": None}}, 422, "invalid_request", "options.stream"),
        (PATH, {**TEXT, "options": {"stream": 1}}, 422, "invalid_request", "options.stream"),
        (PATH, {**TEXT, "stream": True}, 422, "invalid_request", "stream"),
        (PATH, streaming(TEXT, max_tokens=10**6), 422, "invalid_request", "options.max_tokens"),
        (PATH, streaming({"input": {"text": " "}}), 422, "invalid_request", "input.text"),
        (PATH, streaming({"input": {"ids": [10**6]}}), 422, "out_of_vocabulary", "input.ids[0]"),
        (PATH, streaming({"input": {"tokens": ["a"] * 65}}), 413, "input_too_long", "input.tokens"),
        (PATH, streaming(TEXT | {"version": "9"}), 404, "version_not_found", "9"),
        ("/v1/models/nothing/generate", streaming(TEXT), 404, "model_not_found", "nothing"),
        ("/v1/sessions/ses_x/generate", streaming(), 404, "session_not_found", "ses_x"),
        ("/v1/models/tiny/predict", streaming(TEXT), 422, "invalid_request", "options.stream"),
    ],
)
def test_a_stream_that_cannot_start_is_refused_as_any_request(
    http: httpx.Client, path: str, body: Body, status: int, code: str, mention: str
) -> None:
    error = refusal(post(http, path, body), status, code)
    assert mention in f"{error['message']} {error['param']}"


def test_a_stream_that_is_late_before_its_first_token_is_refused_as_any_request(http: httpx.Client) -> None:
    session = new_session(http)
    body = streaming(max_tokens=64)
    response = post(http, f"/v1/sessions/{session}/generate", body, **{"X-Request-Timeout-Ms": "1"})
    if response.status_code != 200:  # a quick machine may have begun
        assert refusal(response, 503, "deadline_exceeded")["applied"] == "no"


# In a session.


def test_a_stream_with_commit_advances_its_session_by_what_it_streamed(http: httpx.Client) -> None:
    streaming_one, other = new_session(http), new_session(http)
    for session in (streaming_one, other):
        answered(step(http, session, "the dog"))
    streamed = stream(http, f"/v1/sessions/{streaming_one}/generate", streaming(seed=5, max_tokens=6)).answer
    expected = whole(http, f"/v1/sessions/{other}/generate", {}, seed=5, max_tokens=6)
    assert streamed["output"]["tokens"] == expected["output"]["tokens"]
    assert (streamed["session_id"], streamed["step"], streamed["timesteps"]) == (streaming_one, 2, 8)
    after = [answered(step(http, session, "a", step=2))["output"] for session in (streaming_one, other)]
    assert after[0] == after[1]


def test_a_stream_without_commit_leaves_its_session_where_it_was(http: httpx.Client) -> None:
    session = new_session(http)
    streamed = stream(http, f"/v1/sessions/{session}/generate", streaming({"commit": False}, seed=5)).answer
    assert (streamed["step"], streamed["timesteps"]) == (0, 0)
    assert look_up(http, session)["step"] == 0


@pytest.mark.parametrize("first_streams", [True, False])
@pytest.mark.parametrize("again_streams", [True, False])
def test_a_repetition_is_answered_with_the_same_tokens_streamed_or_not(
    http: httpx.Client, first_streams: bool, again_streams: bool
) -> None:
    session = new_session(http)
    path, key = f"/v1/sessions/{session}/generate", {"Idempotency-Key": "once"}

    def ask(streams: bool) -> tuple[Body, bool]:
        if streams:
            streamed = stream(http, path, streaming({"step": 0}), **key)
            return streamed.answer, "unroll-replayed" in streamed.headers
        response = post(http, path, {"step": 0}, **key)
        return answered(response), "unroll-replayed" in response.headers

    first, replayed_at_first = ask(first_streams)
    again, replayed = ask(again_streams)
    assert again == first
    assert (replayed_at_first, replayed) == (False, True)
    assert look_up(http, session)["step"] == 1


def test_a_stream_at_another_step_than_the_sessions_is_a_conflict(http: httpx.Client) -> None:
    session = new_session(http)
    error = refusal(
        post(http, f"/v1/sessions/{session}/generate", streaming({"step": 4})), 409, "step_conflict", "expected 0"
    )
    assert (error["applied"], error["step"]) == ("no", 0)


def test_a_key_of_another_body_is_refused_before_the_stream(http: httpx.Client) -> None:
    session = new_session(http)
    path = f"/v1/sessions/{session}/generate"
    assert stream(http, path, streaming(seed=1), **{"Idempotency-Key": "k"}).answer["step"] == 1
    refusal(post(http, path, streaming(seed=2), key="k"), 422, "idempotency_key_reused")


def test_a_stream_of_an_ended_session_is_refused(http: httpx.Client) -> None:
    session = new_session(http)
    assert http.delete(f"/v1/sessions/{session}").status_code == 204
    refusal(post(http, f"/v1/sessions/{session}/generate", streaming()), 410, "session_ended")


# Metrics.


def test_the_time_to_the_first_token_and_the_tokens_are_counted(http: httpx.Client, bob: httpx.Client) -> None:
    labels = {"model": "pair", "version": "1"}

    def figures() -> tuple[float, float]:
        metrics = Metrics(bob)
        return (
            metrics.value("time_to_first_token_seconds_count", **labels),
            metrics.value("generated_tokens_total", **labels),
        )

    before = figures()
    path = "/v1/models/pair/generate"
    count = len(stream(http, path, streaming(TEXT | {"version": "1"}, seed=2)).answer["output"]["tokens"])
    whole(http, path, TEXT | {"version": "1"}, seed=2, max_tokens=1)
    after = figures()
    assert after[0] - before[0] == 1
    assert after[1] - before[1] == count + 1
