"""Paths, methods, ids, keys, headers and deadlines that are not as they should be."""

import json
import socket
from typing import Any

import httpx
import pytest

from tests.integration.conftest import KEYS
from tests.server import Server, answered, eventually, look_up, new_session, post, refusal, send, step

BODY = {"input": {"text": "the dog"}}
#: The routes of one session: method, what follows the id, body.
OF_A_SESSION: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PATCH", "", {"ttl_seconds": 60}),
    ("DELETE", "", None),
    ("POST", "/steps", BODY),
    ("POST", "/predict", {}),
    ("POST", "/generate", {}),
    ("POST", "/fork", {}),
    ("POST", "/reset", {}),
    ("GET", "/state", None),
]


def one_changed(session: str, at: int) -> str:
    """The id with one character changed for another of its alphabet."""
    return session[:at] + ("a" if session[at] != "a" else "b") + session[at + 1 :]


# Paths and methods.


@pytest.mark.parametrize(
    "path",
    ["/console", "/v1", "/v1/", "/v1/nothing", "/v3/models", "/v1/models/tiny/forecast", "/v1/models/tiny/1",
     "/favicon.ico", "/v1/sessions/a/b/c", "/v1//models", "/%00", "/v1/models/tiny/predict/more", "/health",
     "/health/nothing"],
)  # fmt: skip
def test_an_unknown_path_is_told(http: httpx.Client, path: str) -> None:
    refusal(http.get(path), 404, "not_found", "expected")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/models", {"GET"}),
        ("DELETE", "/v1/models/tiny", {"GET"}),
        ("GET", "/v1/models/tiny/predict", {"POST"}),
        ("PUT", "/v1/models/tiny/generate", {"POST"}),
        ("DELETE", "/v1/sessions", {"GET", "POST"}),
        ("PUT", "/v1/sessions/ses_x", {"GET", "PATCH", "DELETE"}),
        ("GET", "/v1/sessions/ses_x/steps", {"POST"}),
        ("DELETE", "/v1/sessions/ses_x/fork", {"POST"}),
        ("POST", "/v1/sessions/ses_x/state", {"GET"}),
        ("PUT", "/v1/sessions/import", {"POST", "GET", "PATCH", "DELETE"}),
        ("POST", "/health/live", {"GET"}),
        ("POST", "/metrics", {"GET"}),
        ("POST", "/docs", {"GET"}),
        ("DELETE", "/openapi.json", {"GET"}),
    ],
)
def test_a_wrong_method_is_told_with_the_right_ones(
    http: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    response = http.request(method, path)
    refusal(response, 405, "method_not_allowed", method, path)
    assert {one.strip() for one in response.headers["allow"].split(",")} - {"HEAD"} == allowed


@pytest.mark.parametrize("name", ["gpt", "TINY", "tiny ", "%2e%2e", "t%69ny%00", "é", "x" * 300, "'; DROP"])
def test_an_unknown_model_is_told_with_the_known_ones(http: httpx.Client, name: str) -> None:
    error = refusal(http.get(f"/v1/models/{name}"), 404, "model_not_found", "next-word", "tiny")
    assert error["param"] == "model"


# Session ids.


@pytest.mark.parametrize(("method", "suffix", "body"), OF_A_SESSION)
@pytest.mark.parametrize(
    "kind",
    ["first changed", "middle changed", "last changed", "upper case", "cut", "longer", "padded", "no prefix", "unicode",
     "very long", "quoted", "nul", "percent", "steps", "dot", "wildcard", "braces"],
)  # fmt: skip
def test_a_forged_id_is_not_found(http: httpx.Client, method: str, suffix: str, body: object, kind: str) -> None:
    real = new_session(http)
    forged = {
        "first changed": one_changed(real, 4),
        "middle changed": one_changed(real, 20),
        "last changed": one_changed(real, len(real) - 1),
        "upper case": real.upper(),
        "cut": real[:-1],
        "longer": real + "a",
        "padded": real + "========",
        "no prefix": real.removeprefix("ses_"),
        "unicode": "ses_" + "é" * 40,
        "very long": "ses_" + "a" * 5000,
        "quoted": f'"{real}"',
        "nul": real + "%00",
        "percent": real + "%25",
        "steps": "ses_",
        "dot": "...",
        "wildcard": "ses_*",
        "braces": "{" + real + "}",
    }[kind]
    error = refusal(send(http, method, f"/v1/sessions/{forged}{suffix}", body), 404, "session_not_found")
    assert error["applied"] in ({"no"} if suffix in {"/steps", "/generate", "/reset"} else {"no", None})
    assert look_up(http, real)["step"] == 0


@pytest.mark.parametrize("inner", ["/", "%2F", "/../", "%2e%2e%2f", "//"])
def test_an_id_with_slashes_is_not_found(http: httpx.Client, inner: str) -> None:
    real = new_session(http)
    response = http.get(f"/v1/sessions/{real[:10]}{inner}{real[10:]}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] in {"session_not_found", "not_found"}


@pytest.mark.parametrize(("method", "suffix", "body"), OF_A_SESSION)
def test_another_tenants_session_is_not_found(
    http: httpx.Client, bob: httpx.Client, method: str, suffix: str, body: object
) -> None:
    session = new_session(http)
    answered(step(http, session, "the", key="k1"))
    before = look_up(http, session)
    refusal(send(bob, method, f"/v1/sessions/{session}{suffix}", body), 404, "session_not_found")
    assert look_up(http, session) == before


def test_tenants_list_their_own_sessions_only(http: httpx.Client, bob: httpx.Client) -> None:
    own, foreign = new_session(http), new_session(bob)
    for client, mine, other in ((http, own, foreign), (bob, foreign, own)):
        listed = {one["id"] for one in answered(client.get("/v1/sessions", params={"limit": 1000}))["data"]}
        assert mine in listed
        assert other not in listed


def test_another_tenants_cursor_tells_nothing_of_its_sessions(http: httpx.Client, bob: httpx.Client) -> None:
    made = {new_session(http) for _ in range(3)}
    cursor = answered(http.get("/v1/sessions", params={"limit": 1}))["next_cursor"]
    response = bob.get("/v1/sessions", params={"cursor": cursor, "limit": 1000})
    if response.status_code == 200:
        assert not made & {one["id"] for one in response.json()["data"]}
    else:
        refusal(response, 422, "invalid_request", "cursor")


def test_another_tenant_cannot_step_among_many(http: httpx.Client, bob: httpx.Client) -> None:
    session, own = new_session(http), new_session(bob)
    items = [{"session_id": one, **BODY} for one in (session, own)]
    results = answered(post(bob, "/v1/sessions/steps", {"steps": items}))["results"]
    assert results[0]["error"]["code"] == "session_not_found"
    assert results[1]["step"] == 1
    assert look_up(http, session)["step"] == 0


# API keys.


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "Basic abc"}, {"X-Api-Key": ""}])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/sessions", "/v1/nothing"])
def test_a_request_without_a_key_is_asked_for_one(anonymous: httpx.Client, headers: dict[str, str], path: str) -> None:
    response = anonymous.get(path, headers=headers)
    refusal(response, 401, "missing_api_key", "Authorization", "X-Api-Key")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer key-of-nobody"},
        {"Authorization": f"Bearer {KEYS['alice']}x"},
        {"Authorization": f"Bearer {KEYS['alice'].upper()}"},
        {"Authorization": "Bearer alice"},
        {"X-Api-Key": "key-of-nobody"},
        {"X-Api-Key": "schlüssel"},
        {"X-Api-Key": "é"},
        {"Authorization": "Bearer é"},
        {"X-Api-Key": "x" * 8_000},
    ],
)
def test_a_wrong_key_is_refused_and_not_repeated(anonymous: httpx.Client, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    response = anonymous.get("/v1/models", headers=raw)
    refusal(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "nobody" not in response.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEYS['alice']}"},
        {"Authorization": f"bearer {KEYS['alice']}"},
        {"X-Api-Key": KEYS["alice"]},
    ],
)
def test_a_key_is_taken_from_either_header(
    http: httpx.Client, anonymous: httpx.Client, headers: dict[str, str]
) -> None:
    session = new_session(http)
    assert answered(anonymous.get(f"/v1/sessions/{session}", headers=headers))["id"] == session


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_needs_no_key(anonymous: httpx.Client, path: str) -> None:
    assert anonymous.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/docs"])
def test_metrics_and_documentation_need_any_key_where_keys_are_configured(
    anonymous: httpx.Client, bob: httpx.Client, path: str
) -> None:
    refusal(anonymous.get(path), 401, "missing_api_key")
    refusal(anonymous.get(path, headers={"X-Api-Key": "no key"}), 401, "invalid_api_key")
    assert bob.get(path).status_code == 200


def test_lines_of_requests_name_the_tenant(server: Server, bob: httpx.Client, anonymous: httpx.Client) -> None:
    bob.get("/v1/nothing", headers={"X-Request-Id": "bobs"})
    anonymous.get("/v1/nothing", headers={"X-Request-Id": "anyones"})
    lines = eventually(lambda: tenants_by_request(server, {"bobs", "anyones"}))
    assert lines == {"bobs": "bob", "anyones": None}


def tenants_by_request(server: Server, requests: set[str]) -> dict[str, str | None] | None:
    """The tenants in the lines of these requests, once all are logged."""
    lines = (json.loads(line) for line in server.log.splitlines() if '"event": "request"' in line)
    tenants = {line["request_id"]: line["tenant"] for line in lines if line["request_id"] in requests}
    return tenants if tenants.keys() == requests else None


def test_a_step_without_a_key_is_not_applied(http: httpx.Client, anonymous: httpx.Client) -> None:
    session = new_session(http)
    assert refusal(step(anonymous, session, "the"), 401, "missing_api_key")["applied"] == "no"
    assert look_up(http, session)["step"] == 0


def test_keys_are_not_in_the_log(server: Server, http: httpx.Client) -> None:
    answered(http.get("/v1/models"))
    assert not [key for key in KEYS.values() if key in server.log]


# Request ids and deadlines.


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/models", 200), ("/v1/nothing", 404), ("/health/live", 200), ("/metrics", 200)]
)
def test_a_request_id_is_echoed(http: httpx.Client, path: str, status: int) -> None:
    response = http.get(path, headers={"X-Request-Id": "my-request.17"})
    assert (response.status_code, response.headers["x-request-id"]) == (status, "my-request.17")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/nothing", "/health/live", "/metrics", "/openapi.json"])
def test_a_request_without_an_id_is_given_one(http: httpx.Client, path: str) -> None:
    first, second = (http.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert min(len(first), len(second)) > 8


def test_a_request_id_that_would_split_the_log_is_replaced(http: httpx.Client) -> None:
    given = "x" * 5000
    assert http.get("/v1/models", headers={"X-Request-Id": given}).headers["x-request-id"] != given


@pytest.mark.parametrize(
    "value", ["0", "-1", "abc", "1.5", "", "1e3", "9" * 40, "000000000001" + "9" * 5, "0" * 11 + "1" + "9" * 5000]
)
def test_a_timeout_that_is_none_is_refused(http: httpx.Client, value: str) -> None:
    response = http.get("/v1/models", headers={"X-Request-Timeout-Ms": value})
    refusal(response, 422, "invalid_request", "X-Request-Timeout-Ms", value[:20])


def test_a_request_ends_at_its_deadline(http: httpx.Client) -> None:
    many = {"inputs": [{"text": "dog " * 64}] * 256}
    response = post(http, "/v1/models/next-word/score", many, **{"X-Request-Timeout-Ms": "50"})
    refusal(response, 503, "deadline_exceeded", "50 ms")
    assert int(response.headers["retry-after"]) >= 1
    assert response.elapsed.total_seconds() < 5


def test_a_step_past_its_deadline_is_not_applied(http: httpx.Client) -> None:
    session = new_session(http, "next-word")
    before = look_up(http, session)
    body = {"input": {"text": "dog " * 64}}
    response = post(http, f"/v1/sessions/{session}/steps", body, **{"X-Request-Timeout-Ms": "5"})
    assert refusal(response, 503, "deadline_exceeded")["applied"] == "no"
    assert look_up(http, session) == before


@pytest.mark.parametrize("sent", [b"", b'{"input": {"te'])
def test_a_body_that_does_not_arrive_ends_at_the_deadline(server: Server, sent: bytes) -> None:
    url = httpx.URL(server.url)
    head = (
        f"POST /v1/models/tiny/predict HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {KEYS['alice']}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\nX-Request-Timeout-Ms: 300\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(head.encode() + sent)
        answer = b""
        while not answer.endswith(b"}"):
            received = connection.recv(65_536)
            assert received, answer
            answer += received
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"deadline_exceeded" in answer


def test_a_client_that_goes_away_leaves_the_service_as_it_was(server: Server, http: httpx.Client) -> None:
    url = httpx.URL(server.url)
    for sent in (
        b"POST /v1/sessions HTTP/1.1\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
        b"nonsense\r\n\r\n",
    ):
        with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
            connection.sendall(sent)
    answered(post(http, "/v1/models/tiny/predict", BODY))
    assert http.get("/health/ready").status_code == 200


def test_a_generous_timeout_changes_nothing(http: httpx.Client) -> None:
    answered(post(http, "/v1/models/tiny/predict", BODY, **{"X-Request-Timeout-Ms": "60000"}))
