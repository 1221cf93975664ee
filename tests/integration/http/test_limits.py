"""One client's requests on the real service: what they may cost, and what they leave to others."""

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.metrics import Metrics
from tests.server import Server, answered, eventually, new_session, post, refusal, short_folder, step
from tests.translation_folders import write_encoder_decoder

KEYS = {"alice": "key-of-alice", "bob": "key-of-bob"}
LIMITS = {
    "max_requests": 18,
    "max_request_timesteps": 20_000,
    "max_answer_numbers": 10_000,
    "max_pending_bytes": 9 * 1_048_576,
    "max_input_tokens": 100,
    "max_input_characters": 3_000,
    "max_generated_tokens": 100,
}
VALUES = {"values": [1.0]}


@pytest.fixture(scope="module")
def limited() -> Iterator[Server]:
    with short_folder() as folder:
        models = folder / "models"
        write_language_model(models, "words")
        write_encoder_decoder(models, "mt")
        write_forecaster(models, "sensor", frequency=None)
        keys = ",".join(f"{tenant}:{key}" for tenant, key in KEYS.items())
        with Server(folder, models=models, api_keys=keys, **LIMITS) as server:
            yield server


@pytest.fixture(scope="module")
def alice(limited: Server) -> Iterator[httpx.Client]:
    with limited.client(KEYS["alice"]) as client:
        yield client


@pytest.fixture(scope="module")
def bob(limited: Server) -> Iterator[httpx.Client]:
    with limited.client(KEYS["bob"]) as client:
        yield client


COSTLY = [
    (
        "sensor",
        {"inputs": [VALUES] * 30, "options": {"samples": 100}},
        (422, "invalid_request"),
        "at most 10000 (UNROLL_MAX_ANSWER_NUMBERS)",
    ),
    (
        "mt",
        {"inputs": [{"text": "Where is Tom?"}] * 50, "options": {"beam_size": 16}},
        (413, "input_too_long"),
        "at most 20000 (UNROLL_MAX_REQUEST_TIMESTEPS)",
    ),
    (
        "words",
        {"input": {"text": "the " * 5000}},
        (413, "input_too_long"),
        "input.text has 20000 characters: expected at most 3000 (UNROLL_MAX_INPUT_CHARACTERS)",
    ),
    (
        "words",
        {"inputs": [{"text": "a"}, {"tokens": ["the"] * 9000}]},
        (413, "input_too_long"),
        "inputs[1].tokens has 9000",
    ),
    ("words", {"input": {"tokens": [1] * 9000}}, (413, "input_too_long"), "input.tokens has 9000 tokens"),
    (
        "words",
        {"input": {"text": "the"}, **{f"unknown {index}": index for index in range(3000)}},
        (422, "invalid_request"),
        "the body has 3001 fields",
    ),
]


@pytest.mark.parametrize(("model", "body", "status", "message"), COSTLY, ids=[case[3] for case in COSTLY])
def test_a_request_is_refused_by_its_cost(
    alice: httpx.Client, model: str, body: dict[str, Any], status: tuple[int, str], message: str
) -> None:
    refusal(post(alice, f"/v1/models/{model}/predict", body), *status, message)


def test_a_large_body_is_answered_as_a_small_one(alice: httpx.Client) -> None:
    inputs = [{"tokens": ["the"] * 50} for _ in range(100)]
    outputs = answered(post(alice, "/v1/models/words/predict", {"inputs": inputs}))["outputs"]
    assert len(outputs) == 100
    one = answered(post(alice, "/v1/models/words/predict", {"input": inputs[0]}))["output"]
    assert outputs[7]["observed"]["tokens"] == one["observed"]["tokens"] == 50


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"options": {"top_k": 0}}, "options.top_k is 0"),
        ({"option": {}}, "option is not a field"),
        ({"inputs": [{"tokens": ["the"] * 50}] * 99 + [{"tokens": ["", "the"]}]}, "inputs[99].tokens[0]"),
        ({"inputs": [{"ids": list(range(50))}] * 99 + [{"ids": ["x"]}]}, "inputs[99].ids[0] is"),
    ],
)
@pytest.mark.parametrize("route", ["predict", "score"])
def test_an_error_in_a_large_body_is_named(
    alice: httpx.Client, route: str, wrong: dict[str, Any], message: str
) -> None:
    body = {"inputs": [{"tokens": ["the"] * 50}] * 100} | wrong
    if route == "score" and "options" in wrong:
        message = "options is not a field"
    refusal(post(alice, f"/v1/models/words/{route}", body), 422, "invalid_request", message)


def test_a_large_body_that_is_no_json_is_told_where(alice: httpx.Client) -> None:
    content = b'{"input": {"ids": [' + b"1," * 20_000 + b"]}}"
    refusal(post(alice, "/v1/models/words/predict", content), 400, "invalid_json", "at line 1 column")


def test_steps_of_one_request_are_bounded_together_and_each_is_told(alice: httpx.Client) -> None:
    sessions = [new_session(alice, "sensor") for _ in range(5)]
    steps = [{"session_id": session, "input": VALUES, "options": {"samples": 1000}} for session in sessions]
    results = answered(post(alice, "/v1/sessions/steps", {"steps": steps}))["results"]
    errors = [result["error"] for result in results if "error" in result]
    assert 0 < len(errors) < 5
    assert all("UNROLL_MAX_ANSWER_NUMBERS" in error["message"] for error in errors)
    assert {error["applied"] for error in errors} == {"no"}


@contextlib.contextmanager
def unfinished_bodies(server: Server, key: str, count: int) -> Iterator[list[socket.socket]]:
    """Open connections whose requests have a head and the beginning of a body."""
    url = urlsplit(server.url)
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((url.hostname or "", url.port or 0), timeout=30))
            head = f"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
            connections.append(connection)
        yield connections


def response_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    response = b""
    while b"\r\n\r\n" not in response or not response.endswith(b"}"):
        part = connection.recv(65536)
        assert part, response
        response += part
    assert b"\r\nretry-after: 1\r\n" in response
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


def test_bodies_that_never_arrive_lock_out_nobody(limited: Server, alice: httpx.Client, bob: httpx.Client) -> None:
    session = new_session(bob, "words")
    with unfinished_bodies(limited, KEYS["alice"], 17) as connections:
        status, error = response_of(connections[-1])
        assert (status, error["code"]) == (503, "overloaded")
        assert "request bodies are arriving" in error["message"]
        answered(step(bob, session, "the"))
        assert alice.get("/v1/models/words").status_code == 200


def test_a_client_beside_others_is_told_that_it_is_the_one(limited: Server) -> None:
    with unfinished_bodies(limited, KEYS["bob"], 2), unfinished_bodies(limited, KEYS["alice"], 17) as connections:
        status, error = response_of(connections[-1])
        assert (status, error["code"]) == (429, "rate_limited")
        assert "UNROLL_MAX_REQUESTS" in error["message"]


def test_scrapes_in_parallel_are_answered_and_show_the_lag_of_the_loop(alice: httpx.Client) -> None:
    # The worker may not have noticed yet that the bodies of the test before will never arrive.
    eventually(lambda: post(alice, "/v1/models/words/predict", {"input": {"text": "the"}}).is_success)
    with ThreadPoolExecutor(16) as pool:
        scrapes = list(pool.map(lambda _: Metrics(alice), range(64)))
    assert all(scrape.value("requests_total", route="/v1/models/{model}/predict") > 0 for scrape in scrapes)
    assert scrapes[-1].value("event_loop_lag_seconds_count") > 0
