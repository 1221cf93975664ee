"""Tests of sessions over HTTP: life cycle, steps, idempotent repetition and forks."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.rounding import LOGIT
from tests.server import (
    Body,
    Server,
    answered,
    assert_same_predictions,
    envelope,
    eventually,
    look_up,
    new_session,
    post,
    refusal,
    send,
    step,
)

SESSION_FIELDS = {
    "id",
    "model",
    "version",
    "task",
    "step",
    "timesteps",
    "created_at",
    "expires_at",
    "ttl_seconds",
    "durability",
    "state_bytes",
}
STEP_FIELDS = {"session_id", "model", "version", "step", "timesteps", "output", "expires_at"}
REPLAYED = "unroll-replayed"


def at_once(http: httpx.Client, text: str, model: str = "tiny") -> Body:
    """What the model answers to the whole text without a session."""
    output: Body = answered(post(http, f"/v1/models/{model}/predict", {"input": {"text": text}}))["output"]
    return output


def ahead(http: httpx.Client, session: str, body: object = None) -> Body:
    """What a session's predict answers."""
    output: Body = answered(post(http, f"/v1/sessions/{session}/predict", body))["output"]
    return output


def generate(http: httpx.Client, session: str, *, key: str | None = None, **fields: Any) -> httpx.Response:
    return post(http, f"/v1/sessions/{session}/generate", fields, key=key)


def fork(http: httpx.Client, session: str, *, key: str | None = None, **fields: Any) -> httpx.Response:
    return post(http, f"/v1/sessions/{session}/fork", fields, key=key)


def moment(text: str) -> datetime:
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text)


def assert_replayed(first: httpx.Response, second: httpx.Response) -> None:
    """The second answer is the first one, byte for byte, and says so."""
    assert (first.status_code, second.status_code) == (200, 200), second.text
    assert REPLAYED not in first.headers
    assert second.headers[REPLAYED] == "true"
    assert second.content == first.content


# The life of a session.


def test_the_response_to_a_creation_names_the_path_of_the_session(http: httpx.Client) -> None:
    response = post(http, "/v1/sessions", {"model": "tiny"})
    session = answered(response, 201)
    assert response.headers["location"] == f"/v1/sessions/{session['id']}"
    assert look_up(http, session["id"]) == session


def test_a_new_session_is_at_step_zero(http: httpx.Client) -> None:
    session = answered(post(http, "/v1/sessions", {"model": "tiny"}), 201)
    assert set(session) == SESSION_FIELDS
    assert session["id"].startswith("ses_")
    known = {name: session[name] for name in ("model", "version", "task", "step", "timesteps", "ttl_seconds")}
    assert known == {
        "model": "tiny", "version": "1", "task": "next-word", "step": 0, "timesteps": 0, "ttl_seconds": 3600
    }  # fmt: skip
    assert session["durability"] == "memory"
    assert session["state_bytes"] == answered(http.get("/v1/models/tiny"))["state_bytes"]


def test_a_session_has_the_time_of_its_creation_in_utc(http: httpx.Client) -> None:
    created = moment(look_up(http, new_session(http))["created_at"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 20


def test_a_new_session_expires_a_ttl_after_its_creation(http: httpx.Client) -> None:
    session = look_up(http, new_session(http, ttl_seconds=90))
    created, expires = moment(session["created_at"]), moment(session["expires_at"])
    assert (expires - created).total_seconds() == pytest.approx(90, abs=0.01)


def test_a_session_runs_on_the_version_that_it_names(http: httpx.Client) -> None:
    assert look_up(http, new_session(http, "pair", version="1"))["version"] == "1"
    assert look_up(http, new_session(http, "pair"))["version"] == "2"


def test_a_session_keeps_its_durability(http: httpx.Client) -> None:
    session = new_session(http, durability="fsynced")
    assert look_up(http, session)["durability"] == "fsynced"
    assert answered(step(http, session, "the dog"))["step"] == 1


def test_patch_renews_a_session_from_now_on(http: httpx.Client) -> None:
    session = new_session(http, ttl_seconds=60)
    answered(step(http, session, "the"))
    before = look_up(http, session)
    renewed = answered(send(http, "PATCH", f"/v1/sessions/{session}", {"ttl_seconds": 7200}))
    assert renewed["ttl_seconds"] == 7200
    left = (moment(renewed["expires_at"]) - datetime.now(UTC)).total_seconds()
    assert left == pytest.approx(7200, abs=20)
    assert renewed == {**before, "ttl_seconds": 7200, "expires_at": renewed["expires_at"]}
    assert look_up(http, session) == renewed


def test_an_ended_session_is_gone_for_every_route(http: httpx.Client) -> None:
    session = new_session(http)
    path = f"/v1/sessions/{session}"
    response = http.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    for method, suffix, body in (
        ("DELETE", "", None),
        ("GET", "", None),
        ("PATCH", "", {"ttl_seconds": 5}),
        ("POST", "/steps", {"input": {"text": "the"}}),
        ("POST", "/predict", {}),
        ("POST", "/generate", {}),
        ("POST", "/fork", {}),
        ("POST", "/reset", {}),
        ("GET", "/state", None),
    ):
        refusal(send(http, method, path + suffix, body), 410, "session_ended")


def test_a_session_expires_after_its_ttl(http: httpx.Client) -> None:
    session = new_session(http, ttl_seconds=1)
    path = f"/v1/sessions/{session}"
    eventually(lambda: http.get(path).status_code == 410, seconds=5)
    for method, suffix, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("PATCH", "", {"ttl_seconds": 5}),
        ("POST", "/predict", {}),
        ("POST", "/generate", {}),
        ("POST", "/fork", {}),
        ("POST", "/reset", {}),
    ):
        refusal(send(http, method, path + suffix, body), 410, "session_expired", session)
    error = refusal(step(http, session, "the"), 410, "session_expired", session)
    assert error["applied"] == "no"


def test_a_step_renews_a_session(http: httpx.Client) -> None:
    session = new_session(http, ttl_seconds=600)
    first, second = (answered(step(http, session, word)) for word in ("the", "dog"))
    assert moment(second["expires_at"]) > moment(first["expires_at"])


def test_requests_that_do_not_advance_a_session_do_not_renew_it(http: httpx.Client) -> None:
    session = new_session(http, ttl_seconds=600)
    first = step(http, session, "the dog", key="a")
    until = look_up(http, session)["expires_at"]
    assert answered(first)["expires_at"] == until
    assert_replayed(first, step(http, session, "the dog", key="a"))
    ahead(http, session)
    answered(generate(http, session, commit=False, options={"max_tokens": 2}))
    assert look_up(http, session)["expires_at"] == until


# Listing.


def test_the_list_pages_through_own_sessions_newest_first(carol: httpx.Client) -> None:
    made = [new_session(carol) for _ in range(5)]
    pages, cursor = [], None
    while True:
        page = answered(carol.get("/v1/sessions", params={"limit": 2, **({"cursor": cursor} if cursor else {})}))
        assert set(page) == {"object", "data", "next_cursor"}
        assert page["object"] == "list"
        assert len(page["data"]) <= 2
        pages += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    listed = [page["id"] for page in pages]
    assert [one for one in listed if one in made] == made[::-1]
    assert len(set(listed)) == len(listed)
    assert pages[0] == look_up(carol, made[-1])


def listed_ids(http: httpx.Client, **params: str) -> set[str]:
    return {session["id"] for session in answered(http.get("/v1/sessions", params=params))["data"]}


def test_the_list_leaves_out_ended_sessions(carol: httpx.Client) -> None:
    ended, active = new_session(carol), new_session(carol)
    carol.delete(f"/v1/sessions/{ended}")
    listed = listed_ids(carol)
    assert active in listed
    assert ended not in listed


def test_the_list_of_a_model_leaves_out_other_models(carol: httpx.Client) -> None:
    tiny, pair = new_session(carol), new_session(carol, "pair")
    listed = listed_ids(carol, model="tiny")
    assert tiny in listed
    assert pair not in listed


# Steps.


def test_a_step_answers_what_the_whole_text_would(http: httpx.Client) -> None:
    session = new_session(http)
    first, second = answered(step(http, session, "the dog")), answered(step(http, session, "is"))
    assert set(first) == STEP_FIELDS
    assert (first["session_id"], first["model"], first["version"]) == (session, "tiny", "1")
    assert [(one["step"], one["timesteps"]) for one in (first, second)] == [(1, 2), (2, 3)]
    assert_same_predictions(first["output"], at_once(http, "the dog"))
    assert_same_predictions(second["output"], at_once(http, "the dog is"))
    assert second["output"]["observed"]["tokens"] == 1
    now = look_up(http, session)
    assert (now["step"], now["timesteps"], now["expires_at"]) == (2, 3, second["expires_at"])


def test_a_step_scores_its_words_by_the_prediction_before(http: httpx.Client) -> None:
    session = new_session(http)
    observed = [answered(step(http, session, word))["output"]["observed"] for word in ("she", "like", "zyzzyva")]
    scored = answered(post(http, "/v1/models/tiny/score", {"input": {"text": "she like zyzzyva"}}))["output"]
    assert [one["mean_logprob"] for one in observed] == pytest.approx(scored["logprobs"], abs=LOGIT)
    assert [one["unknown"] for one in observed] == [[], [], ["zyzzyva"]]


def test_step_options_say_how_many_predictions(http: httpx.Client) -> None:
    answer = answered(step(http, new_session(http), "the", options={"top_k": 3}))
    assert len(answer["output"]["predictions"]) == 3


def test_predict_answers_what_the_whole_text_would(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    answer = answered(post(http, f"/v1/sessions/{session}/predict", {"input": {"text": "is"}, "options": {"top_k": 4}}))
    assert set(answer) == STEP_FIELDS
    assert len(answer["output"]["predictions"]) == 4
    assert_same_predictions(answer["output"], at_once(http, "the dog is"))


def test_predict_leaves_the_session_unchanged(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    before = look_up(http, session)
    output = ahead(http, session, {"input": {"text": "is"}})
    assert look_up(http, session) == before
    assert_same_predictions(answered(step(http, session, "is"))["output"], output)


def test_predict_without_input_answers_from_the_state_as_it_is(http: httpx.Client) -> None:
    session = new_session(http)
    start = ahead(http, session)
    assert start["observed"] is None
    assert len(start["predictions"]) == 5
    assert ahead(http, session, {}) == start
    answer = answered(step(http, session, "the dog"))
    assert_same_predictions(ahead(http, session), answer["output"])


def test_predict_can_complete_a_word_in_a_session(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    output = ahead(http, session, {"input": {"text": "wh"}, "options": {"complete": True}})
    assert {prediction["token"] for prediction in output["predictions"]} == {"what", "where", "who"}


def test_generate_advances_a_session_by_what_it_generated(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    answer = answered(generate(http, session, options={"max_tokens": 6, "seed": 4}))
    assert set(answer) == STEP_FIELDS
    tokens = answer["output"]["tokens"]
    assert set(answer["output"]) == {"text", "tokens", "logprobs", "finish_reason"}
    assert (answer["step"], answer["timesteps"]) == (2, 2 + len(tokens))
    assert_same_predictions(ahead(http, session), at_once(http, " ".join(["the dog", *tokens])))


def test_generate_in_a_session_gives_what_the_whole_text_gives(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    options = {"max_tokens": 10, "seed": 9}
    own = answered(generate(http, session, options=options))["output"]
    body = {"input": {"text": "the dog"}, "options": options}
    assert own["tokens"] == answered(post(http, "/v1/models/tiny/generate", body))["output"]["tokens"]


def test_generate_without_commit_leaves_the_session(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    before = look_up(http, session)
    options = {"max_tokens": 5, "seed": 2}
    trial = answered(generate(http, session, commit=False, options=options))
    assert look_up(http, session) == before
    assert answered(generate(http, session, options=options))["output"] == trial["output"]


def test_a_session_has_not_seen_the_stop_text_that_ended_its_generation(http: httpx.Client) -> None:
    session = new_session(http)
    trial = answered(generate(http, session, commit=False, options={"max_tokens": 12, "seed": 5}))["output"]["tokens"]
    stop = trial[3]
    answer = answered(generate(http, session, options={"max_tokens": 12, "seed": 5, "stop": [stop]}))
    tokens = trial[: trial.index(stop)]
    assert answer["output"]["tokens"] == tokens
    assert answer["timesteps"] == len(tokens)
    fresh = new_session(http)
    if tokens:
        answered(step(http, fresh, " ".join(tokens)))
    assert_same_predictions(ahead(http, session), ahead(http, fresh))


def test_a_session_has_not_seen_the_end_of_sequence_that_ended_its_generation(http: httpx.Client) -> None:
    for seed in range(40):
        session = new_session(http)
        answer = answered(generate(http, session, options={"max_tokens": 64, "seed": seed}))
        if answer["output"]["finish_reason"] == "stop" and answer["output"]["tokens"]:
            break
    tokens = answer["output"]["tokens"]
    assert answer["output"]["finish_reason"] == "stop", "no seed of forty met the end of sequence"
    assert answer["timesteps"] == len(tokens)
    assert_same_predictions(ahead(http, session), at_once(http, " ".join(tokens)))


def test_generate_feeds_its_input_first(http: httpx.Client) -> None:
    session = new_session(http)
    options = {"max_tokens": 4, "seed": 3}
    answer = answered(generate(http, session, input={"text": "the dog"}, options=options))
    assert answer["timesteps"] == 2 + len(answer["output"]["tokens"])
    alone = {"input": {"text": "the dog"}, "options": options}
    assert answer["output"]["tokens"] == answered(post(http, "/v1/models/tiny/generate", alone))["output"]["tokens"]


# Many steps at once.


def test_many_steps_are_answered_in_their_order_each_for_itself(http: httpx.Client) -> None:
    sessions = [new_session(http) for _ in range(4)]
    words = ["the", "she", "we", "Tom"]
    http.delete(f"/v1/sessions/{sessions[2]}")
    items = [{"session_id": one, "input": {"text": word}} for one, word in zip(sessions, words, strict=True)]
    results = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
    error = envelope(results[2]["error"], 410, "session_ended")
    assert error["applied"] == "no"
    for at in (0, 1, 3):
        assert set(results[at]) == STEP_FIELDS
        assert (results[at]["session_id"], results[at]["step"]) == (sessions[at], 1)
        assert_same_predictions(results[at]["output"], at_once(http, words[at]))


def test_many_steps_of_one_session_are_applied_in_their_order(http: httpx.Client) -> None:
    session = new_session(http)
    words = ["the", "dog", "is", "very", "big"]
    items = [{"session_id": session, "input": {"text": word}} for word in words]
    results = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
    assert [result["step"] for result in results] == [1, 2, 3, 4, 5]
    assert_same_predictions(results[-1]["output"], at_once(http, " ".join(words)))


def test_many_steps_fail_alone_with_what_the_session_says(http: httpx.Client) -> None:
    good, behind, out = (new_session(http) for _ in range(3))
    items = [
        {"session_id": behind, "input": {"text": "the"}, "step": 3},
        {"session_id": good, "input": {"text": "the"}, "step": 0},
        {"session_id": out, "input": {"ids": [3, 99_999]}},
        {"session_id": "ses_unknown", "input": {"text": "the"}},
    ]
    results = answered(post(http, "/v1/sessions/steps", {"steps": items}))["results"]
    conflict = envelope(results[0]["error"], 409, "step_conflict", "3")
    assert (conflict["applied"], conflict["step"]) == ("no", 0)
    assert results[1]["step"] == 1
    assert envelope(results[2]["error"], 422, "out_of_vocabulary", "99999")["applied"] == "no"
    assert envelope(results[3]["error"], 404, "session_not_found")["applied"] == "no"
    assert [look_up(http, one)["step"] for one in (behind, good, out)] == [0, 1, 0]


@pytest.mark.parametrize("text", ["", " ", "dog " * 65, "\ud800", "the \udfff dog", "\u0000"])
def test_an_odd_text_among_many_steps_does_not_hide_what_became_of_the_others(http: httpx.Client, text: str) -> None:
    good, odd = new_session(http), new_session(http)
    items = [{"session_id": good, "input": {"text": "the"}}, {"session_id": odd, "input": {"text": text}}]
    response = post(http, "/v1/sessions/steps", {"steps": items})
    if response.status_code == 422:
        refusal(response, 422, "invalid_request", "steps[1].input.text")
        assert look_up(http, good)["step"] == 0
    else:
        results = answered(response)["results"]
        assert results[0]["step"] == look_up(http, good)["step"] == 1
        assert "error" not in results[1] or results[1]["error"]["applied"] == "no"


def test_many_steps_repeated_with_their_keys_are_not_applied_again(http: httpx.Client) -> None:
    sessions = [new_session(http) for _ in range(3)]
    items = [{"session_id": session, "input": {"text": "the dog"}, "idempotency_key": "k"} for session in sessions]
    first, second = (post(http, "/v1/sessions/steps", {"steps": items}) for _ in range(2))
    assert answered(second) == answered(first)
    assert [look_up(http, session)["step"] for session in sessions] == [1, 1, 1]


# Exactly once.


def test_the_same_key_with_the_same_body_is_replayed_byte_for_byte(http: httpx.Client) -> None:
    session = new_session(http)
    first = step(http, session, "the dog", key="k1")
    for _ in range(3):
        assert_replayed(first, step(http, session, "the dog", key="k1"))
    assert look_up(http, session)["step"] == 1


def test_the_same_body_may_be_written_in_another_way(http: httpx.Client) -> None:
    session = new_session(http)
    path = f"/v1/sessions/{session}/steps"
    first = post(http, path, b'{"input":{"text":"the d\\u006fg"},"step":0}', key="k1")
    again = b'{ "step": 0,\n "options": {"top_k": 5}, "input": {"text": "the dog", "ids": null} }'
    assert_replayed(first, post(http, path, again, key="k1"))


@pytest.mark.parametrize(
    "change", [{"input": {"text": "the cat"}}, {"input": {"tokens": ["the", "dog"]}}, {"options": {"top_k": 6}}]
)
def test_the_same_key_with_another_body_is_refused(http: httpx.Client, change: Body) -> None:
    session = new_session(http)
    path, body = f"/v1/sessions/{session}/steps", {"input": {"text": "the dog"}}
    first = post(http, path, body, key="k1")
    before = look_up(http, session)
    error = refusal(post(http, path, {**body, **change}, key="k1"), 422, "idempotency_key_reused", "Idempotency-Key")
    assert error["step"] in {1, None}
    assert look_up(http, session) == before
    assert_replayed(first, post(http, path, body, key="k1"))


def test_an_older_key_is_told_that_it_was_applied(http: httpx.Client) -> None:
    session = new_session(http)
    for number in range(3):
        answered(step(http, session, "the dog", key=f"k{number}"))
    before = look_up(http, session)
    for number in range(2):
        error = refusal(step(http, session, "the dog", key=f"k{number}"), 409, "step_conflict")
        assert (error["applied"], error["step"]) == ("yes", 3)
    assert look_up(http, session) == before


def test_the_last_thirty_two_keys_are_remembered(http: httpx.Client) -> None:
    session = new_session(http)
    for number in range(32):
        answered(step(http, session, "the", key=f"k{number}"))
    for number in (0, 15, 30):
        assert refusal(step(http, session, "the", key=f"k{number}"), 409, "step_conflict")["applied"] == "yes"
    assert look_up(http, session)["step"] == 32


def test_a_key_is_remembered_behind_a_step_without_one(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog", key="k1"))
    answered(step(http, session, "is"))
    error = refusal(step(http, session, "the dog", key="k1"), 409, "step_conflict")
    assert (error["applied"], error["step"]) == ("yes", 2)


@pytest.mark.parametrize("wrong", [0, 1, 3, 1000])
def test_a_step_that_is_not_the_sessions_is_told_the_real_one(http: httpx.Client, wrong: int) -> None:
    session = new_session(http)
    for word in ("the", "dog"):
        answered(step(http, session, word))
    before = look_up(http, session)
    error = refusal(step(http, session, "is", step=wrong), 409, "step_conflict", f"{wrong}", "2")
    assert error["step"] == 2
    assert error["applied"] in ({"no"} if wrong > 2 else {"no", "unknown"})
    assert look_up(http, session) == before


def test_a_step_repeated_with_the_same_body_is_replayed(http: httpx.Client) -> None:
    session = new_session(http)
    for number, word in enumerate(("the", "dog")):
        first = step(http, session, word, step=number)
        assert answered(first)["step"] == number + 1
        assert_replayed(first, step(http, session, word, step=number))
    assert look_up(http, session)["step"] == 2


def test_a_step_repeated_with_another_body_conflicts(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the", step=0))
    error = refusal(step(http, session, "she", step=0), 409, "step_conflict")
    assert (error["applied"], error["step"]) == ("no", 1)
    assert look_up(http, session)["step"] == 1


def test_a_step_repeated_too_late_conflicts(http: httpx.Client) -> None:
    session = new_session(http)
    for number, word in enumerate(("the", "dog")):
        answered(step(http, session, word, step=number))
    error = refusal(step(http, session, "the", step=0), 409, "step_conflict")
    assert error["step"] == 2
    assert error["applied"] in {"yes", "unknown"}


def test_a_step_with_neither_key_nor_step_is_applied_each_time(http: httpx.Client) -> None:
    session = new_session(http)
    first, second = step(http, session, "the dog"), step(http, session, "the dog")
    assert [answered(one)["step"] for one in (first, second)] == [1, 2]
    assert REPLAYED not in second.headers
    assert_same_predictions(answered(second)["output"], at_once(http, "the dog the dog"))


def test_a_step_with_a_key_and_a_number_is_replayed(http: httpx.Client) -> None:
    session = new_session(http)
    first = step(http, session, "the dog", key="k1", step=0)
    assert_replayed(first, step(http, session, "the dog", key="k1", step=0))


def test_a_key_with_another_step_number_is_refused(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog", key="k1", step=0))
    refusal(step(http, session, "the dog", key="k1", step=1), 422, "idempotency_key_reused")


def test_a_step_number_with_another_key_conflicts(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog", key="k1", step=0))
    error = refusal(step(http, session, "the dog", key="k2", step=0), 409, "step_conflict")
    assert (error["applied"], error["step"]) == ("no", 1)


def test_a_refused_step_does_not_use_up_its_key(http: httpx.Client) -> None:
    session = new_session(http)
    path = f"/v1/sessions/{session}/steps"
    refusal(post(http, path, {"input": {"ids": [99_999]}}, key="k1"), 422, "out_of_vocabulary")
    refusal(step(http, session, "the", key="k1", step=7), 409, "step_conflict")
    assert answered(step(http, session, "the", key="k1"))["step"] == 1


def test_keys_belong_to_one_session(http: httpx.Client) -> None:
    sessions = [new_session(http) for _ in range(2)]
    answers = [step(http, one, word, key="k1") for one, word in zip(sessions, ("the", "she"), strict=True)]
    assert [answered(answer)["step"] for answer in answers] == [1, 1]
    assert all(REPLAYED not in answer.headers for answer in answers)


def test_a_generation_repeated_with_its_key_is_replayed(http: httpx.Client) -> None:
    session = new_session(http)
    options = {"max_tokens": 8}
    first = generate(http, session, key="k1", options=options)
    assert_replayed(first, generate(http, session, key="k1", options=options))
    assert look_up(http, session)["step"] == 1
    refusal(generate(http, session, key="k1", options={"max_tokens": 9}), 422, "idempotency_key_reused")


def test_a_generation_repeated_with_its_step_is_replayed(http: httpx.Client) -> None:
    session = new_session(http)
    first = generate(http, session, step=0, options={"max_tokens": 8})
    assert_replayed(first, generate(http, session, step=0, options={"max_tokens": 8}))
    error = refusal(generate(http, session, step=4), 409, "step_conflict")
    assert (error["applied"], error["step"]) == ("no", 1)


def test_a_key_of_another_route_is_a_key_with_another_body(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog", key="k1"))
    refusal(generate(http, session, key="k1", input={"text": "the dog"}), 422, "idempotency_key_reused")
    answered(generate(http, session, key="k2", options={"max_tokens": 2}))
    refusal(step(http, session, "the dog", key="k2"), 422, "idempotency_key_reused")
    assert refusal(step(http, session, "the dog", key="k1"), 409, "step_conflict")["applied"] == "yes"


def test_a_creation_repeated_with_its_key_finds_the_same_session(http: httpx.Client) -> None:
    key, body = f"create-{new_session(http)}", {"model": "tiny", "ttl_seconds": 120}
    first, second = (post(http, "/v1/sessions", body, key=key) for _ in range(2))
    assert answered(second, 201) == answered(first, 201)
    assert second.headers["location"] == first.headers["location"]
    assert (REPLAYED in first.headers, second.headers[REPLAYED]) == (False, "true")
    refusal(post(http, "/v1/sessions", {**body, "ttl_seconds": 121}, key=key), 422, "idempotency_key_reused")
    session = answered(first, 201)["id"]
    answered(step(http, session, "the"))
    assert answered(post(http, "/v1/sessions", body, key=key), 201)["id"] == session
    assert look_up(http, session)["step"] == 1


def test_a_creation_key_belongs_to_its_tenant(http: httpx.Client, bob: httpx.Client) -> None:
    key, body = f"create-{new_session(http)}", {"model": "tiny"}
    own, foreign = (answered(post(client, "/v1/sessions", body, key=key), 201) for client in (http, bob))
    assert own["id"] != foreign["id"]


def test_creations_that_race_with_one_key_make_one_session(http: httpx.Client) -> None:
    for number in range(30):
        key = f"race-{number}"
        with ThreadPoolExecutor(8) as pool:
            responses = list(
                pool.map(lambda _, key=key: post(http, "/v1/sessions", {"model": "tiny"}, key=key), range(8))
            )
        assert len({answered(response, 201)["id"] for response in responses}) == 1
        assert sum(REPLAYED not in response.headers for response in responses) == 1, "one is made, the others find it"


def test_steps_that_race_with_one_key_are_applied_once(server: Server, http: httpx.Client) -> None:
    session = new_session(http)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: step(http, session, "the dog", key="k1"), range(16)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert sum(REPLAYED not in response.headers for response in responses) == 1
    assert look_up(http, session)["step"] == 1


def test_steps_that_race_without_a_key_are_all_applied_one_after_the_other(http: httpx.Client) -> None:
    session = new_session(http)
    with ThreadPoolExecutor(8) as pool:
        answers = [answered(one) for one in pool.map(lambda _: step(http, session, "the"), range(16))]
    assert sorted(answer["step"] for answer in answers) == list(range(1, 17))
    assert all(answer["timesteps"] == answer["step"] for answer in answers)
    last = max(answers, key=lambda one: int(one["step"]))
    assert_same_predictions(last["output"], at_once(http, " ".join(["the"] * 16)))


# Forks.


def test_a_fork_is_an_independent_copy(http: httpx.Client) -> None:
    parent = new_session(http, ttl_seconds=500)
    answered(step(http, parent, "the dog"))
    response = fork(http, parent)
    child = answered(response, 201)
    assert set(child) == SESSION_FIELDS
    assert response.headers["location"] == f"/v1/sessions/{child['id']}"
    assert child["id"] != parent
    assert (child["step"], child["timesteps"], child["ttl_seconds"]) == (1, 2, 500)
    texts: list[Callable[[], Body]] = [
        lambda: answered(step(http, parent, "is"))["output"],
        lambda: answered(step(http, child["id"], "and the cat"))["output"],
    ]
    for take, whole in zip(texts, ("the dog is", "the dog and the cat"), strict=True):
        assert_same_predictions(take(), at_once(http, whole))
    http.delete(f"/v1/sessions/{parent}")
    assert look_up(http, child["id"])["step"] == 2


def test_a_fork_has_a_ttl_of_its_own(http: httpx.Client) -> None:
    parent = new_session(http)
    assert answered(fork(http, parent, ttl_seconds=77), 201)["ttl_seconds"] == 77
    assert look_up(http, parent)["ttl_seconds"] == 3600


def test_a_fork_does_not_know_the_keys_of_its_parent(http: httpx.Client) -> None:
    parent = new_session(http)
    answered(step(http, parent, "the", key="k1"))
    child = answered(fork(http, parent), 201)["id"]
    response = step(http, child, "the", key="k1")
    assert answered(response)["step"] == 2
    assert REPLAYED not in response.headers


def test_a_fork_may_start_from_a_kept_step(http: httpx.Client) -> None:
    parent = new_session(http, kept_steps=2)
    words = ["the", "dog", "is big", "."]
    for word in words:
        answered(step(http, parent, word))
    for at, timesteps in ((4, 5), (3, 4), (2, 2)):
        child = answered(fork(http, parent, step=at), 201)
        assert (child["step"], child["timesteps"]) == (at, timesteps)
        text = " ".join([*words[:at], "and"])
        assert_same_predictions(answered(step(http, child["id"], "and"))["output"], at_once(http, text))
    for at in (1, 0, 5):
        refusal(fork(http, parent, step=at), 422, "invalid_request", "step", f"{at}")
    assert look_up(http, parent)["step"] == 4


def test_a_fork_may_start_from_step_zero_while_it_is_kept(http: httpx.Client) -> None:
    parent = new_session(http, kept_steps=1)
    answered(step(http, parent, "the dog"))
    child = answered(fork(http, parent, step=0), 201)
    assert (child["step"], child["timesteps"]) == (0, 0)
    assert_same_predictions(ahead(http, child["id"]), ahead(http, new_session(http)))


def test_a_session_without_kept_steps_forks_from_where_it_stands(http: httpx.Client) -> None:
    parent = new_session(http)
    answered(step(http, parent, "the"))
    assert answered(fork(http, parent, step=1), 201)["step"] == 1
    refusal(fork(http, parent, step=0), 422, "invalid_request", "step", "0")


def test_a_fork_repeated_with_its_key_finds_the_same_session(http: httpx.Client) -> None:
    parent = new_session(http, kept_steps=1)
    answered(step(http, parent, "the"))
    first, second = (fork(http, parent, key="f1") for _ in range(2))
    assert answered(second, 201) == answered(first, 201)
    assert (REPLAYED in first.headers, second.headers[REPLAYED]) == (False, "true")
    assert answered(fork(http, parent, key="f2"), 201)["id"] != answered(first, 201)["id"]
    answered(step(http, parent, "dog"))
    assert answered(fork(http, parent, key="f1"), 201)["id"] == answered(first, 201)["id"]
    refusal(fork(http, parent, key="f1", ttl_seconds=9), 422, "idempotency_key_reused")


def test_a_keyed_fork_of_a_kept_step_is_found_after_that_step_is_kept_no_more(http: httpx.Client) -> None:
    parent = new_session(http, kept_steps=1)
    answered(step(http, parent, "the"))
    child = answered(fork(http, parent, step=0, key="f1"), 201)["id"]
    for word in ("dog", "is", "big"):
        answered(step(http, parent, word))
    again = fork(http, parent, step=0, key="f1")
    assert answered(again, 201)["id"] == child
    assert again.headers[REPLAYED] == "true"
