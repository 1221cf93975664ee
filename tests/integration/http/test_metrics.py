"""/metrics tells what both workers did, under the names of the contract, and never of a session."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.metrics import Metrics
from tests.server import answered, eventually, new_session, post, refusal, step

LABELS = {"model", "version", "task", "route", "code", "method", "reason", "outcome", "operation", "le", "fingerprint",
          "release", "pid", "batch_size", "part", "metric"}  # fmt: skip
OF_TINY = {"model": "tiny", "version": "1"}


Growth = Callable[..., float]


@pytest.fixture
def growth(http: httpx.Client) -> Growth:
    """How much a metric has grown since the test began."""
    before = Metrics(http)
    return lambda name, **labels: Metrics(http).value(name, **labels) - before.value(name, **labels)


def test_every_metric_has_its_prefix_and_known_labels(http: httpx.Client) -> None:
    reading = Metrics(http)
    assert {sample.name for sample in reading.samples if not sample.name.startswith("unroll_")} == set()
    assert {label for sample in reading.samples for label in sample.labels} <= LABELS


def test_labels_never_hold_a_session(http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the", key="secret-key-of-a-client"))
    refusal(http.get(f"/v1/sessions/{session}x"), 404, "session_not_found")
    refusal(http.get(f"/v1/nothing/{session}"), 404, "not_found")
    refusal(http.get("/v1/models/no-such-model-of-mine"), 404, "model_not_found")
    text = Metrics(http).text
    for secret in ("ses_", session, "secret-key-of-a-client", "alice", "no-such-model-of-mine"):
        assert secret not in text


def test_requests_are_counted_by_route_and_status(http: httpx.Client, growth: Growth) -> None:
    for _ in range(5):
        answered(post(http, "/v1/models/tiny/predict", {"input": {"text": "the dog"}}))
    refusal(post(http, "/v1/models/tiny/predict", {}), 422, "invalid_request")
    route = "/v1/models/{model}/predict"
    assert growth("requests_total", route=route, code="200") == 5
    assert growth("requests_total", route=route, code="422") == 1
    assert growth("request_duration_seconds_count", route=route) == 6
    assert growth("request_duration_seconds_sum", route=route) > 0
    assert Metrics(http).value("requests_in_flight") >= 1


def test_both_workers_are_counted_together(http: httpx.Client, growth: Growth) -> None:
    body = {"input": {"text": "the dog"}}
    with ThreadPoolExecutor(8) as pool:
        for response in pool.map(lambda _: post(http, "/v1/models/tiny/predict", body), range(64)):
            answered(response)
    for _ in range(8):
        assert growth("requests_total", route="/v1/models/{model}/predict", code="200") == 64


def test_the_engine_tells_of_batches_queues_and_timesteps(http: httpx.Client, growth: Growth) -> None:
    texts = [{"text": "the dog is big"} for _ in range(20)]
    answered(post(http, "/v1/models/tiny/predict", {"inputs": texts}))
    assert growth("timesteps_total", **OF_TINY) == 80
    assert growth("queue_wait_seconds_count", **OF_TINY) == 20
    assert growth("batch_size_sum", **OF_TINY) == 20, "four tokens are one chunk"
    assert 1 <= growth("batch_size_count", **OF_TINY) < 20
    assert growth("forward_duration_seconds_count", **OF_TINY) == growth("batch_size_count", **OF_TINY)
    assert growth("forward_duration_seconds_sum", **OF_TINY) > 0
    assert Metrics(http).value("queue_depth") == 0


def test_generated_tokens_are_counted(http: httpx.Client, growth: Growth) -> None:
    body = {"input": {"text": "the dog"}, "options": {"max_tokens": 7, "seed": 1}}
    tokens = answered(post(http, "/v1/models/tiny/generate", body))["output"]["tokens"]
    assert growth("generated_tokens_total", **OF_TINY) == len(tokens)


def test_observed_logprob_adds_up_what_the_input_was_worth(http: httpx.Client, growth: Growth) -> None:
    session = new_session(http)
    observed = [answered(step(http, session, text))["output"]["observed"] for text in ("the dog", "is")]
    expected = -sum(one["mean_logprob"] * one["tokens"] for one in observed)
    assert growth("observed_tokens_total", **OF_TINY) == 3
    assert growth("observed_logprob_total", **OF_TINY) == pytest.approx(expected, rel=1e-4)


def test_steps_are_counted_by_outcome(http: httpx.Client, growth: Growth) -> None:
    session = new_session(http)
    for _ in range(3):
        answered(step(http, session, "the", key="k1"))
    answered(step(http, session, "dog", step=1))
    refusal(step(http, session, "is", step=0), 409, "step_conflict")
    refusal(step(http, session, "zz", step=1), 409, "step_conflict")
    path = f"/v1/sessions/{session}/steps"
    refusal(post(http, path, {"input": {"ids": [99_999]}}), 422, "out_of_vocabulary")
    counts = {
        outcome: growth("session_steps_total", outcome=outcome)
        for outcome in ("applied", "replayed", "conflict", "failed")
    }
    assert counts == {"applied": 2, "replayed": 2, "conflict": 2, "failed": 1}


def live_sessions(*clients: httpx.Client) -> int:
    """How many sessions the tenants' own lists hold."""
    pages = [answered(client.get("/v1/sessions", params={"limit": 1000})) for client in clients]
    assert all(page["next_cursor"] is None for page in pages)
    return sum(len(page["data"]) for page in pages)


def test_sessions_are_counted_when_created_and_ended(http: httpx.Client, growth: Growth) -> None:
    first, second = new_session(http), new_session(http)
    answered(post(http, f"/v1/sessions/{first}/fork"), 201)
    assert growth("sessions_created_total", model="tiny") == 3
    http.delete(f"/v1/sessions/{second}")
    assert growth("sessions_ended_total", reason="deleted") == 1


def test_live_sessions_of_all_tenants_are_counted(http: httpx.Client, bob: httpx.Client, carol: httpx.Client) -> None:
    for client in (http, http, bob):
        new_session(client)
    # The gauge is refreshed now and then.
    eventually(lambda: Metrics(http).value("sessions_active") == live_sessions(http, bob, carol), 20)
    http.delete(f"/v1/sessions/{new_session(http)}")
    eventually(lambda: Metrics(http).value("sessions_active") == live_sessions(http, bob, carol), 20)


def test_an_expired_session_is_counted_as_such(http: httpx.Client, growth: Growth) -> None:
    session = new_session(http, ttl_seconds=1)
    eventually(lambda: http.get(f"/v1/sessions/{session}").status_code == 410, seconds=5)
    # The index is approximate: it learns of the end a little later.
    assert eventually(lambda: growth("sessions_ended_total", reason="expired") >= 1, seconds=20)


def test_a_creation_found_again_is_not_counted_twice(http: httpx.Client, growth: Growth) -> None:
    key = new_session(http)
    for _ in range(3):
        answered(post(http, "/v1/sessions", {"model": "tiny"}, key=key), 201)
    assert growth("sessions_created_total", model="tiny") == 2


def test_store_calls_are_timed_by_operation(http: httpx.Client, growth: Growth) -> None:
    session = new_session(http)
    answered(step(http, session, "the"))
    for operation in ("read", "create", "write"):
        assert growth("store_duration_seconds_count", operation=operation) == 1
        assert growth("store_duration_seconds_sum", operation=operation) > 0
    assert growth("store_errors_total") == 0
    assert Metrics(http).value("store_up") == 1
    eventually(
        lambda: 0 < Metrics(http).value("store_memory_bytes") < Metrics(http).value("store_memory_limit_bytes"), 20
    )


@pytest.mark.parametrize(("model", "version"), [("tiny", "1"), ("pair", "1"), ("pair", "2"), ("next-word", "1")])
def test_loaded_models_are_told_once_whatever_the_number_of_workers(
    http: httpx.Client, model: str, version: str
) -> None:
    reading, labels = Metrics(http), {"model": model, "version": version}
    assert reading.value("model_loaded", **labels) == 1
    assert reading.value("model_load_seconds", **labels) > 0
    described = answered(http.get(f"/v1/models/{model}"))
    assert reading.value("state_bytes", **labels) == described["state_bytes"]
    if version == described["default_version"]:
        (sample,) = [
            sample
            for sample in reading.samples
            if sample.name == "unroll_model_loaded" and labels.items() <= sample.labels.items()
        ]
        assert described["fingerprint"].endswith(sample.labels["fingerprint"])


def test_what_is_refused_for_lack_of_time_is_counted(http: httpx.Client, growth: Growth) -> None:
    many = {"inputs": [{"text": "dog " * 64}] * 256}
    response = post(http, "/v1/models/next-word/score", many, **{"X-Request-Timeout-Ms": "20"})
    refusal(response, 503, "deadline_exceeded")
    assert growth("shed_total", reason="deadline_exceeded") == 1


@pytest.mark.parametrize(
    "name",
    [
        "build_info",
        "model_loaded",
        "store_up",
        "sessions_active",
        "queue_depth",
        "state_bytes",
        "store_memory_bytes",
        "worker_memory_bytes",
        "worker_memory_limit_bytes",
        "store_append_only",
        "store_replicas",
    ],
)
def test_a_gauge_of_the_contract_is_there(http: httpx.Client, name: str) -> None:
    assert f"\nunroll_{name}" in Metrics(http).text
