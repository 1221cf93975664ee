"""Limits of tenants over two workers, as clients see them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.traffic import MODEL, write_model
from tests.server import NEW_CONNECTIONS, Server, answered, new_session, post, refusal, short_folder, step

LIMITS = [
    "costly:cost_per_second=20",
    "slow:requests_per_second=10",
    "few:sessions=2",
    "small:state_bytes=7000",
    "small:kept_steps=4",
    "small:ttl_seconds=600",
]


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with short_folder() as folder:
        models = write_model(folder / "models")
        keys = ",".join(f"{tenant}:{tenant}-key" for tenant in ("free", "slow", "costly", "few", "small"))
        with Server(folder, models=models, workers=2, api_keys=keys, tenant_limits=",".join(LIMITS)) as running:
            yield running


def client(service: Server, tenant: str) -> httpx.Client:
    headers = {**NEW_CONNECTIONS, "Authorization": f"Bearer {tenant}-key"}
    return httpx.Client(base_url=service.url, timeout=30, headers=headers)


def test_a_tenant_beyond_its_rate_gets_429_and_may_come_back(service: Server) -> None:
    with client(service, "slow") as slow, client(service, "free") as free:
        started_at = time.monotonic()
        with ThreadPoolExecutor(8) as pool:  # many at a time, so that a slow machine exceeds the rate as well
            responses = [*pool.map(lambda _: slow.get("/v1/models"), range(80))]
        seconds = time.monotonic() - started_at
        refused = [response for response in responses if response.status_code == 429]
        assert 10 <= len(responses) - len(refused) <= 10 + 10 * seconds + 1
        error = refusal(refused[0], 429, "rate_limited", "10.0", "requests_per_second", "UNROLL_TENANT_LIMITS")
        assert error["applied"] == "no"
        assert error["type"] == "invalid_request_error"
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].headers["ratelimit-policy"] == '"requests";q=10;w=1'
        assert refused[0].headers["ratelimit"].startswith('"requests";r=0;t=')
        assert responses[0].headers["ratelimit"].startswith('"requests";r=')
        unlimited = [free.get("/v1/models") for _ in range(40)]
        assert {response.status_code for response in unlimited} == {200}
        assert "ratelimit" not in unlimited[0].headers
        time.sleep(1.0)
        assert slow.get("/v1/models").status_code == 200


def test_a_tenant_that_spent_its_timesteps_waits_until_they_are_paid(service: Server) -> None:
    with client(service, "costly") as costly:
        session = new_session(costly, MODEL)
        words = " ".join(["a"] * 40)  # 79 characters: paid after 3 s, so that a slow machine is in time
        assert answered(step(costly, session, words))["timesteps"] == 40
        responses = [step(costly, session, "a")]
        while responses[-1].is_success and len(responses) < 40:  # the other worker has not spent anything
            responses.append(step(costly, session, "a"))
        error = refusal(responses[-1], 429, "rate_limited", "20.0", "cost_per_second")
        assert error["applied"] == "no"
        assert responses[-1].headers["ratelimit-policy"] == '"cost";q=20;w=1'
        time.sleep(5.0)
        assert answered(step(costly, session, "a"))["step"] == 2 + sum(response.is_success for response in responses)


def test_a_tenant_with_all_its_sessions_gets_429_for_more_of_any_kind(service: Server) -> None:
    with client(service, "few") as few:
        first, second = new_session(few, MODEL), new_session(few, MODEL)
        state = few.get(f"/v1/sessions/{first}/state").content
        attempts = [
            post(few, "/v1/sessions", {"model": MODEL}),
            post(few, f"/v1/sessions/{first}/fork"),
            few.post("/v1/sessions/import", content=state, headers={"Content-Type": "application/octet-stream"}),
        ]
        for response in attempts:
            refusal(response, 429, "rate_limited", "2 live sessions", "sessions in UNROLL_TENANT_LIMITS")
            assert int(response.headers["retry-after"]) >= 1
        assert len(answered(few.get("/v1/sessions"))["data"]) == 2
        assert answered(step(few, first, "a b"))["step"] == 1
        assert few.delete(f"/v1/sessions/{second}").status_code == 204
        assert answered(post(few, f"/v1/sessions/{first}/fork"), 201)["step"] == 1


def test_bytes_kept_steps_and_times_to_live_are_limited(service: Server) -> None:
    with client(service, "small") as small:
        for fields, name in (({"kept_steps": 5}, "kept_steps"), ({"ttl_seconds": 601}, "ttl_seconds")):
            error = refusal(post(small, "/v1/sessions", {"model": MODEL, **fields}), 422, "invalid_request", name)
            assert error["param"] == name
        session = answered(post(small, "/v1/sessions", {"model": MODEL}), 201)
        assert session["ttl_seconds"] == 600
        renewal = small.patch(f"/v1/sessions/{session['id']}", json={"ttl_seconds": 601})
        refusal(renewal, 422, "invalid_request", "600", "ttl_seconds in UNROLL_TENANT_LIMITS")
        new_session(small, MODEL)
        refusal(post(small, "/v1/sessions", {"model": MODEL}), 429, "rate_limited", "7000", "state_bytes")
