"""Whatever is wrong with a request is refused with a status, a code and a message, and changes no session."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from tests.integration.conftest import KEYS, MAX_BODY_BYTES, MAX_GENERATED_TOKENS, MAX_INPUT_TOKENS
from tests.server import Body, Server, answered, look_up, new_session, post, refusal, send, step

EXPECTATION = re.compile(r"expected|should|must|is not|has no|too deeply", re.IGNORECASE)
HUGE = 10**30
TEXT = {"text": "the dog"}
TIME = "2024-05-01T12:00:00Z"


@dataclass(frozen=True)
class Case:
    """What is sent and how it is refused: the message holds the field and `value`. `{s}` stands for the session."""

    name: str
    path: str
    body: Any
    field: str = ""
    value: str = ""
    status: int = 422
    code: str = "invalid_request"
    method: str = "POST"


def by_name(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=f"{case.method} {case.path}: {case.name}") for case in cases]


@pytest.fixture(scope="module")
def session(http: httpx.Client) -> Iterator[str]:
    """A session that no bad request may change."""
    made = new_session(http, kept_steps=1)
    for word in ("the", "dog"):
        answered(step(http, made, word, key=word))
    yield made
    # A last good step: it is not only described as before, it works as before.
    assert answered(step(http, made, "is"))["step"] == 3


def assert_refused(http: httpx.Client, session: str, case: Case, **headers: str) -> None:
    before = look_up(http, session)
    path = case.path.replace("{s}", session)
    body = case.body
    if isinstance(body, dict | list):
        body = json.dumps(body).replace("{s}", session).encode()
    error = refusal(send(http, case.method, path, body, headers), case.status, case.code, case.field, case.value)
    assert EXPECTATION.search(error["message"]), error["message"]
    if case.path.endswith(("/steps", "/generate")) and "{s}" in case.path:
        assert error["applied"] == "no"
    assert look_up(http, session) == before


# Inputs: each wrong one on each route that takes one.

INPUT_ROUTES: list[tuple[str, str]] = [
    ("/v1/models/tiny/predict", "input"),
    ("/v1/models/tiny/predict", "inputs[1]"),
    ("/v1/models/tiny/score", "input"),
    ("/v1/models/tiny/score", "inputs[1]"),
    ("/v1/models/tiny/generate", "input"),
    ("/v1/sessions/{s}/steps", "input"),
    ("/v1/sessions/{s}/predict", "input"),
    ("/v1/sessions/{s}/generate", "input"),
    ("/v1/sessions/steps", "steps[0].input"),
]
#: name, input, field in the message, value in the message, status, code.
INPUTS: list[tuple[str, Any, str, str, int, str]] = [
    ("a number for text", {"text": 5}, ".text", "5", 422, "invalid_request"),
    ("a truth for text", {"text": True}, ".text", "true", 422, "invalid_request"),
    ("a list for text", {"text": ["the"]}, ".text", "the", 422, "invalid_request"),
    ("nothing", {}, "", "nothing", 422, "invalid_request"),
    ("null for text", {"text": None}, "", "nothing", 422, "invalid_request"),
    ("text and tokens", {"text": "the", "tokens": ["the"]}, "", "text and tokens", 422, "invalid_request"),
    ("tokens and ids", {"tokens": ["the"], "ids": [3]}, "", "tokens and ids", 422, "invalid_request"),
    ("the input of forecasting", {"values": [1, 2]}, ".values", "expected text", 422, "invalid_request"),
    ("no values", {"values": []}, ".values", "[]", 422, "invalid_request"),
    ("text for values", {"values": [1, "2"]}, ".values[1]", '"2"', 422, "invalid_request"),
    ("text and values", {"text": "the", "values": [1]}, "", "text and values", 422, "invalid_request"),
    ("times of text", {"text": "the", "timestamps": [TIME]}, ".timestamps", TIME, 422, "invalid_request"),
    ("a future of text", {"text": "the", "future": [1]}, ".future", "1", 422, "invalid_request"),
    ("the input of translation", {"text": "the", "target": "der"}, ".target", "", 422, "invalid_request"),
    ("an unknown field", {"text": "the", "language": "en"}, ".language", "", 422, "invalid_request"),
    ("a string", "the dog", "", "the dog", 422, "invalid_request"),
    ("a list", ["the"], "", "the", 422, "invalid_request"),
    ("a number", 5, "", "5", 422, "invalid_request"),
    ("empty text", {"text": ""}, ".text", "", 422, "invalid_request"),
    ("blank text", {"text": " \t\r\n\u3000\u00a0"}, ".text", "", 422, "invalid_request"),
    ("no tokens", {"tokens": []}, ".tokens", "[]", 422, "invalid_request"),
    ("no ids", {"ids": []}, ".ids", "[]", 422, "invalid_request"),
    ("text for tokens", {"tokens": "the dog"}, ".tokens", "the dog", 422, "invalid_request"),
    ("a number among tokens", {"tokens": ["the", 5]}, ".tokens[1]", "5", 422, "invalid_request"),
    ("null among tokens", {"tokens": ["the", None]}, ".tokens[1]", "null", 422, "invalid_request"),
    ("a string among ids", {"ids": [3, "5"]}, ".ids[1]", '"5"', 422, "invalid_request"),
    ("a float among ids", {"ids": [5.0]}, ".ids[0]", "5.0", 422, "invalid_request"),
    ("a truth among ids", {"ids": [True]}, ".ids[0]", "true", 422, "invalid_request"),
    ("a fraction among ids", {"ids": [1.5]}, ".ids[0]", "1.5", 422, "invalid_request"),
    ("a list among ids", {"ids": [[3]]}, ".ids[0]", "[3]", 422, "invalid_request"),
    ("an id past the vocabulary", {"ids": [3, 99_999]}, ".ids[1]", "99999", 422, "out_of_vocabulary"),
    ("a negative id", {"ids": [3, 4, -1]}, ".ids[2]", "-1", 422, "out_of_vocabulary"),
    ("a huge id", {"ids": [HUGE]}, ".ids[0]", str(HUGE), 422, "out_of_vocabulary"),
    ("a lone surrogate in text", {"text": "the \ud800 dog"}, ".text", "", 422, "invalid_request"),
    ("a lone surrogate in a token", {"tokens": ["\udfff"]}, ".tokens[0]", "", 422, "invalid_request"),
    ("a lone surrogate in a field's name", {"text": "the", "\ud800": 1}, "", "", 422, "invalid_request"),
    ("too long a text", {"text": "dog " * 65}, ".text", "65", 413, "input_too_long"),
    ("too many tokens", {"tokens": ["dog"] * 65}, ".tokens", "65", 413, "input_too_long"),
    ("too many ids", {"ids": [3] * 65}, ".ids", "65", 413, "input_too_long"),
    ("far too long a text", {"text": "dog " * 20_000}, ".text", "80000 characters", 413, "input_too_long"),
]


#: Their form is right: the model refuses them.
FOUND_BY_THE_TASK = {"empty text", "blank text", "the input of translation", "the input of forecasting"}


def placed(place: str, value: object) -> Body:
    """A body with the input at its place, a good neighbour before it where there are several."""
    if place == "input":
        return {"input": value}
    return {"inputs": [TEXT, value]} if place == "inputs[1]" else {"steps": [{"session_id": "{s}", "input": value}]}


def input_cases() -> Iterator[Case]:
    for path, place in INPUT_ROUTES:
        for name, given, field, value, status, code in INPUTS:
            # Of many steps each fails alone once the form of all is right.
            if place == "steps[0].input" and (status, code) != (422, "invalid_request"):
                continue
            if place == "steps[0].input" and name in FOUND_BY_THE_TASK:
                continue
            yield Case(f"{place}: {name}", path, placed(place, given), place + field, value, status, code)


@pytest.mark.parametrize("case", by_name(list(input_cases())))
def test_a_wrong_input_is_refused_by_name(http: httpx.Client, session: str, case: Case) -> None:
    assert_refused(http, session, case)


@pytest.mark.parametrize("given", [[], {"steps": []}, {"steps": {}}, {"steps": [5]}, {"steps": [{}]}])
def test_many_steps_must_be_a_list_of_steps(http: httpx.Client, session: str, given: object) -> None:
    assert_refused(http, session, Case("", "/v1/sessions/steps", given))


def test_one_wrong_form_among_many_steps_applies_none_of_them(http: httpx.Client, session: str) -> None:
    items = [{"session_id": session, "input": TEXT}, {"session_id": session, "input": TEXT, "steps": 5}]
    assert_refused(http, session, Case("", "/v1/sessions/steps", {"steps": items}, "steps[1].steps"))


# Everything beside the input.

PREDICT, SCORE, GENERATE = (f"/v1/models/tiny/{name}" for name in ("predict", "score", "generate"))
SESSIONS, STEP, LOOK, CONTINUE, FORK = (
    f"/v1/sessions{name}" for name in ("", "/{s}/steps", "/{s}/predict", "/{s}/generate", "/{s}/fork")
)

TOP_K: list[tuple[Any, str]] = [
    (0, "0"),
    (101, "101"),
    (-1, "-1"),
    (HUGE, "1000000"),
    ("5", '"5"'),
    (5.0, "5.0"),
    (True, "true"),
    (None, "null"),
]
GENERATION: list[tuple[str, Any, str]] = [
    ("max_tokens", 0, "0"),
    ("max_tokens", -3, "-3"),
    ("max_tokens", MAX_GENERATED_TOKENS + 1, "65"),
    ("max_tokens", HUGE, "1000000"),
    ("max_tokens", "8", '"8"'),
    ("max_tokens", 8.0, "8.0"),
    ("temperature", -0.1, "-0.1"),
    ("temperature", 1e30, "1e+30"),
    ("temperature", "1", '"1"'),
    ("temperature", True, "true"),
    ("top_p", 0, "0"),
    ("top_p", -0.5, "-0.5"),
    ("top_p", 1.01, "1.01"),
    ("top_k", 0, "0"),
    ("top_k", HUGE, "1000000"),
    ("seed", -1, "-1"),
    ("seed", 2**63, str(2**63)),
    ("seed", HUGE, str(HUGE)),
    ("seed", 1.5, "1.5"),
    ("seed", "1", '"1"'),
    ("stop", [""], '""'),
    ("stop", "dog", '"dog"'),
    ("stop", [5], "5"),
    ("stop", None, "null"),
    ("beam_size", 4, ""),
]
TTL: list[tuple[Any, str]] = [(0, "0"), (-1, "-1"), (HUGE, "1000000"), ("60", '"60"'), (60.5, "60.5"), (True, "true")]
STEP_COUNT: list[tuple[Any, str]] = [(-1, "-1"), ("0", '"0"'), (1.0, "1.0"), (False, "false"), (HUGE, "1000000")]

FIELDS: list[Case] = [
    *(
        Case(f"top_k {given}", path, {"input": TEXT, "options": {"top_k": given}}, "options.top_k", value)
        for path in (PREDICT, STEP, LOOK)
        for given, value in TOP_K
    ),
    *(
        Case(f"{name} {given}", path, {"input": TEXT, "options": {name: given}}, f"options.{name}", value)
        for path in (GENERATE, CONTINUE)
        for name, given, value in GENERATION
    ),
    *(
        Case(f"{name}", path, {"input": TEXT, "options": options}, f"options{field}", value)
        for path in (PREDICT, STEP, LOOK, GENERATE, CONTINUE)
        for name, options, field, value in (
            ("options as a list", [], "", "[]"),
            ("options as null", None, "", "null"),
            ("an unknown option", {"top_q": 5}, ".top_q", ""),
        )
    ),
    *(
        Case("an unknown field", path, {"input": TEXT, "inptu": 1}, "inptu")
        for path in (PREDICT, SCORE, GENERATE, STEP, LOOK, CONTINUE)
    ),
    *(Case("no input", path, {}, "input") for path in (PREDICT, SCORE, GENERATE, STEP)),
    *(Case("input and inputs", path, {"input": TEXT, "inputs": [TEXT]}, "input", "both") for path in (PREDICT, SCORE)),
    *(Case("no inputs", path, {"inputs": []}, "inputs", "[]") for path in (PREDICT, SCORE)),
    *(Case("a version by number", path, {"input": TEXT, "version": 1}, "version", "1") for path in (PREDICT, GENERATE)),
    *(
        Case("an unknown version", path, {"input": TEXT, "version": "9"}, "version", "9", 404, "version_not_found")
        for path in (PREDICT, SCORE, GENERATE)
    ),
    Case("complete as text", PREDICT, {"input": TEXT, "options": {"complete": "yes"}}, "options.complete", '"yes"'),
    Case("complete as a number", PREDICT, {"input": TEXT, "options": {"complete": 1}}, "options.complete", "1"),
    Case("complete of ids", PREDICT, {"input": {"ids": [3]}, "options": {"complete": True}}, "options.complete"),
    Case("complete of a step", STEP, {"input": TEXT, "options": {"complete": True}}, "options.complete"),
    Case("score with options", SCORE, {"input": TEXT, "options": {}}, "options"),
    *(Case(f"step {n}", STEP, {"input": TEXT, "step": n}, "step", value) for n, value in STEP_COUNT),
    *(Case(f"step {n}", CONTINUE, {"step": n}, "step", value) for n, value in STEP_COUNT),
    *(Case(f"step {n}", FORK, {"step": n}, "step", value) for n, value in STEP_COUNT),
    Case("a stale step", STEP, {"input": TEXT, "step": 1}, "step", "1", 409, "step_conflict"),
    Case("a step to come", CONTINUE, {"step": 3}, "step", "3", 409, "step_conflict"),
    Case("commit as text", CONTINUE, {"commit": "no"}, "commit", '"no"'),
    Case("a step that is not kept", FORK, {"step": 0}, "step", "0"),
    Case("an unknown field", FORK, {"at": 1}, "at"),
    *(Case(f"ttl {ttl}", FORK, {"ttl_seconds": ttl}, "ttl_seconds", value) for ttl, value in TTL),
    *(
        Case(f"ttl {ttl}", SESSIONS, {"model": "tiny", "ttl_seconds": ttl}, "ttl_seconds", value)
        for ttl, value in TTL
    ),
    *(
        Case(f"ttl {ttl}", "/v1/sessions/{s}", {"ttl_seconds": ttl}, "ttl_seconds", value, method="PATCH")
        for ttl, value in TTL
    ),
    Case("no ttl", "/v1/sessions/{s}", {}, "ttl_seconds", method="PATCH"),
    Case("an unknown field", "/v1/sessions/{s}", {"ttl_seconds": 5, "step": 0}, "step", method="PATCH"),
    Case("no model", SESSIONS, {}, "model"),
    Case("an empty model", SESSIONS, {"model": ""}, "model", '""'),
    Case("a number for a model", SESSIONS, {"model": 5}, "model", "5"),
    Case("an unknown model", SESSIONS, {"model": "gpt"}, "model", "gpt", 404, "model_not_found"),
    Case("a path for a model", SESSIONS, {"model": "../tiny"}, "model", "../tiny", 404, "model_not_found"),
    Case("an unknown version", SESSIONS, {"model": "tiny", "version": "7"}, "version", "7", 404, "version_not_found"),
    Case("a version by number", SESSIONS, {"model": "tiny", "version": 1}, "version", "1"),
    Case("an unknown durability", SESSIONS, {"model": "tiny", "durability": "disk"}, "durability", "disk"),
    Case("too many kept steps", SESSIONS, {"model": "tiny", "kept_steps": 65}, "kept_steps", "65"),
    Case("a negative number of kept steps", SESSIONS, {"model": "tiny", "kept_steps": -1}, "kept_steps", "-1"),
    Case("an input at creation", SESSIONS, {"model": "tiny", "input": TEXT}, "input"),
    Case("an unknown field", SESSIONS, {"model": "tiny", "modell": "tiny"}, "modell"),
    *(
        Case("an unknown model", f"/v1/models/gpt/{name}", {"input": TEXT}, "gpt", "", 404, "model_not_found")
        for name in ("predict", "score", "generate")
    ),
    *(
        Case(f"limit {limit}", f"/v1/sessions?limit={limit}", None, "limit", limit, method="GET")
        for limit in ("0", "-1", "100000", "1.5", "many", "1e3")
    ),
    *(
        Case(f"cursor {cursor}", f"/v1/sessions?cursor={cursor}", None, "cursor", cursor, method="GET")
        for cursor in ("no-cursor", "AAAA", "5", "x" * 36, "_" * 40)
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", by_name(FIELDS))
def test_a_wrong_field_is_refused_by_name(http: httpx.Client, session: str, case: Case) -> None:
    assert_refused(http, session, case)


@pytest.mark.parametrize("key", ["", "k" * 256])
@pytest.mark.parametrize(
    ("path", "body"), [(SESSIONS, {"model": "tiny"}), (STEP, {"input": TEXT}), (CONTINUE, {}), (FORK, {})]
)
def test_a_key_of_a_wrong_length_is_refused(http: httpx.Client, session: str, path: str, body: Body, key: str) -> None:
    assert_refused(http, session, Case("", path, body, "Idempotency-Key"), **{"Idempotency-Key": key})


@pytest.mark.parametrize("key", ["", "k" * 256, 5])
def test_a_wrong_key_among_many_steps_is_refused(http: httpx.Client, session: str, key: object) -> None:
    item = {"session_id": session, "input": TEXT, "idempotency_key": key}
    assert_refused(http, session, Case("", "/v1/sessions/steps", {"steps": [item]}, "steps[0].idempotency_key"))


def test_the_last_key_with_another_body_is_refused(http: httpx.Client, session: str) -> None:
    case = Case("", STEP, {"input": TEXT}, "Idempotency-Key", "", 422, "idempotency_key_reused")
    assert_refused(http, session, case, **{"Idempotency-Key": "dog"})


# Bodies that are no JSON, or no body for this route.

ROUTES: list[tuple[str, str]] = [
    ("POST", PREDICT),
    ("POST", SCORE),
    ("POST", GENERATE),
    ("POST", SESSIONS),
    ("PATCH", "/v1/sessions/{s}"),
    ("POST", STEP),
    ("POST", "/v1/sessions/steps"),
    ("POST", LOOK),
    ("POST", CONTINUE),
    ("POST", FORK),
]
NO_JSON: dict[str, bytes] = {
    "half an object": b'{"input": {"text": "the"}',
    "plain text": b"the dog",
    "single quotes": b"{'input': 5}",
    "two values": b"{} {}",
    "a trailing comma": b'{"input": {"text": "the",}}',
    "NaN": b'{"input": NaN}',
    "Infinity": b'{"input": {"ids": [Infinity]}}',
    "minus Infinity": b'{"options": {"temperature": -Infinity}}',
    "not UTF-8": b'{"input": {"text": "\xff\xfe"}}',
    "UTF-16": '{"input": {"text": "the"}}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a raw control character": b'{"input": {"text": "a\x00b"}}',
    "white space": b" \n ",
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand balanced brackets": b"[" * 100_000 + b"]" * 100_000,
}
NO_OBJECT: dict[str, bytes] = {
    "a list": b"[1]",
    "a string": b'"the dog"',
    "a number": b"5",
    "a truth": b"true",
    "an overflowing number": b"1e999",
    "nested brackets": b"[" * 500 + b"]" * 500,
}


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("name", NO_JSON)
def test_a_body_that_is_not_json_is_refused(
    http: httpx.Client, session: str, method: str, path: str, name: str
) -> None:
    assert_refused(http, session, Case(name, path, NO_JSON[name], status=400, code="invalid_json", method=method))


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("name", NO_OBJECT)
def test_a_body_that_is_no_object_is_refused(
    http: httpx.Client, session: str, method: str, path: str, name: str
) -> None:
    assert_refused(http, session, Case(name, path, NO_OBJECT[name], method=method))


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] not in {LOOK, CONTINUE, FORK}])
@pytest.mark.parametrize("body", [b"null", b"{}", b"", None])
def test_a_body_that_must_be_there_is_asked_for(
    http: httpx.Client, session: str, method: str, path: str, body: bytes | None
) -> None:
    assert_refused(http, session, Case("", path, body, method=method))


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (PREDICT, b'{"input": {"ids": [1e999]}}', "input.ids[0]"),
        (GENERATE, b'{"input": {"text": "the"}, "options": {"temperature": 1e999}}', "options.temperature"),
        (CONTINUE, b'{"options": {"top_p": -1e999}}', "options.top_p"),
        (STEP, b'{"input": {"text": "the"}, "step": 1e999}', "step"),
        (SESSIONS, b'{"model": "tiny", "ttl_seconds": 1e999}', "ttl_seconds"),
    ],
)
def test_a_number_that_overflows_is_refused(
    http: httpx.Client, session: str, path: str, body: bytes, field: str
) -> None:
    assert_refused(http, session, Case("", path, body, field))


@pytest.mark.parametrize("digits", [400, 5_000, 100_000])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, b'{"input": {"ids": [%s]}}'),
        (STEP, b'{"input": {"text": "the"}, "step": %s}'),
        (CONTINUE, b'{"options": {"seed": %s}}'),
        (SESSIONS, b'{"model": "tiny", "ttl_seconds": %s}'),
    ],
)
def test_a_number_of_very_many_digits_is_refused(
    http: httpx.Client, session: str, path: str, body: bytes, digits: int
) -> None:
    before = look_up(http, session)
    response = post(http, path.replace("{s}", session), body % (b"9" * digits))
    assert response.status_code in {400, 422}, response.text[:300]
    assert response.json()["error"]["code"] in {"invalid_json", "invalid_request", "out_of_vocabulary"}
    assert look_up(http, session) == before


@pytest.mark.parametrize("depth", [50, 200, 400, 900, 950, 990, 2_000, 10_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"input":', b"}")])
@pytest.mark.parametrize("path", [PREDICT, STEP, SESSIONS])
def test_nesting_of_any_depth_is_refused(
    http: httpx.Client, session: str, path: str, opening: bytes, closing: bytes, depth: int
) -> None:
    before = look_up(http, session)
    body = b'{"input":' + opening * depth + b"1" + closing * depth + b"}"
    response = post(http, path.replace("{s}", session), body)
    assert response.status_code in {400, 422}, response.text[:300]
    assert response.json()["error"]["code"] in {"invalid_json", "invalid_request"}
    assert look_up(http, session) == before


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "*/*"]
)
def test_another_content_type_is_refused(
    http: httpx.Client, session: str, method: str, path: str, media_type: str
) -> None:
    case = Case("", path, {"input": TEXT}, "Content-Type", media_type, 415, "unsupported_media_type", method)
    assert_refused(http, session, case, **{"Content-Type": media_type})


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "Application/JSON",
        "application/json ;x=y",
    ],
)
def test_json_is_known_with_parameters_and_in_any_case(http: httpx.Client, media_type: str) -> None:
    answered(post(http, PREDICT, {"input": TEXT}, **{"Content-Type": media_type}))


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_body_without_a_content_type_is_refused(http: httpx.Client, session: str, method: str, path: str) -> None:
    content = json.dumps({"input": TEXT}).encode()
    response = http.request(method, path.replace("{s}", session), content=content)
    assert "content-type" not in response.request.headers
    refusal(response, 415, "unsupported_media_type", "Content-Type is missing", "application/json")


@pytest.mark.parametrize("media_type", ["application/json; charset=latin-1", 'application/json;x=y;charset="utf-16"'])
def test_json_in_another_charset_than_utf_8_is_refused(http: httpx.Client, media_type: str) -> None:
    response = post(http, PREDICT, {"input": TEXT}, **{"Content-Type": media_type})
    refusal(response, 415, "unsupported_media_type", "charset", "utf-8")


@pytest.mark.parametrize("media_type", [None, "text/plain"])
def test_a_body_that_is_left_out_needs_no_content_type(
    http: httpx.Client, session: str, media_type: str | None
) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    assert http.post(f"/v1/sessions/{session}/predict", headers=headers).status_code == 200


# Bodies that are too large.


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_body_that_is_too_large_is_refused(
    http: httpx.Client, session: str, method: str, path: str, chunked: bool
) -> None:
    before = look_up(http, session)
    whole = json.dumps({"input": {"text": "x" * MAX_BODY_BYTES}}).encode()
    pieces = (whole[at : at + 16_384] for at in range(0, len(whole), 16_384))
    response = http.request(
        method,
        path.replace("{s}", session),
        content=pieces if chunked else whole,
        headers={"Content-Type": "application/json"},
    )
    error = refusal(response, 413, "body_too_large", f"{MAX_BODY_BYTES}")
    if path in {STEP, CONTINUE, "/v1/sessions/steps"}:
        assert error["applied"] == "no"
    assert look_up(http, session) == before


def test_bodies_that_are_too_large_are_refused_one_after_the_other_on_one_connection(server: Server) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    headers = {"Authorization": f"Bearer {KEYS['alice']}", "Content-Type": "application/json"}
    with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=30)) as connection:
        connection.connect()
        connection.auto_open = False
        for _ in range(10):
            connection.request("POST", PREDICT, body, headers)
            response = connection.getresponse()
            assert json.load(response)["error"]["code"] == "body_too_large"
            assert response.status == 413


def test_a_body_of_just_the_limit_is_read(http: httpx.Client) -> None:
    body = json.dumps({"input": TEXT}).encode()
    answered(post(http, PREDICT, body + b" " * (MAX_BODY_BYTES - len(body))))
    refusal(post(http, PREDICT, body + b" " * (MAX_BODY_BYTES - len(body) + 1)), 413, "body_too_large")


def test_a_chunked_body_within_the_limit_is_read(http: httpx.Client) -> None:
    body = json.dumps({"input": TEXT}).encode()
    pieces = (body[at : at + 3] for at in range(0, len(body), 3))
    answered(http.post(PREDICT, content=pieces, headers={"Content-Type": "application/json"}))


def test_input_up_to_the_limit_is_taken(http: httpx.Client) -> None:
    body = answered(post(http, PREDICT, {"input": {"text": "dog " * MAX_INPUT_TOKENS}}))
    assert body["usage"] == {"timesteps": MAX_INPUT_TOKENS}


# Odd, but no mistakes.


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("the \u0000 dog", []),
        ("th\u0000e", []),
        ("the 😀 dog", ["😀"]),
        ("the e\u0301te\u0301", None),
        ("\u202ethe dog", None),
        ("the " + "x" * 50_000, ["x" * 50_000]),
        ("\ufeffthe", []),
        ("the \u200b\u200c\u200d\u2060\u00addog", []),
        ("<s> <unk>", None),
    ],
)
def test_odd_text_is_read_as_words_of_which_some_are_unknown(
    http: httpx.Client, text: str, unknown: list[str] | None
) -> None:
    output = answered(post(http, PREDICT, {"input": {"text": text}}))["output"]
    assert len(output["predictions"]) == 5
    if unknown is not None:
        assert output["observed"]["unknown"] == unknown


def test_a_word_outside_the_vocabulary_is_unknown_and_reported_in_a_session(http: httpx.Client) -> None:
    output = answered(step(http, new_session(http), "the zyzzyva"))["output"]
    assert output["observed"]["unknown"] == ["zyzzyva"]
