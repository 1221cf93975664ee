"""Traces of requests, as a collector of OpenTelemetry receives them."""

from collections.abc import Iterator

import httpx
import pytest

from service.bootstrap.worker import running_worker
from service.settings import Settings
from tests.trace_collector import KEY, PARENT, TRACE, collector, spans_of, traced_settings


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    with collector(monkeypatch) as bodies:
        yield bodies


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with traced_settings() as settings:
        yield settings


async def calls(settings: Settings) -> str:
    """Create a session and apply two steps, one of them in a trace of the client; return the session's id."""
    async with running_worker(settings) as worker:
        transport = httpx.ASGITransport(worker.app)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            await client.get("/health/ready")
            session = (await client.post("/v1/sessions", json={"model": "tiny"})).json()["id"]
            steps, body = f"/v1/sessions/{session}/steps", {"input": {"text": "the cat"}}
            context = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            assert (await client.post(steps, json=body, headers=context)).status_code == 200
            predict = {"input": {"text": "the dog"}}
            assert (await client.post("/v1/models/tiny/predict", json=predict)).status_code == 200
    return str(session)


async def test_a_step_has_the_phases_of_its_operation_in_the_clients_trace(
    settings: Settings, collected: list[bytes]
) -> None:
    await calls(settings)
    spans = [span for span in spans_of(collected) if span.trace_id.hex() == TRACE]
    (request,) = [span for span in spans if span.parent_span_id.hex() == PARENT]
    assert request.name == "POST /v1/sessions/{session_id}/steps"
    phases = sorted((span for span in spans if span is not request), key=lambda span: span.start_time_unix_nano)
    assert [phase.name for phase in phases] == ["load", "queue", "run", "commit"]
    assert {phase.parent_span_id for phase in phases} == {request.span_id}
    ends = [phase.end_time_unix_nano for phase in phases]
    assert ends == sorted(ends)
    assert request.start_time_unix_nano <= phases[0].start_time_unix_nano
    assert ends[-1] <= request.end_time_unix_nano


async def test_a_prediction_waits_and_runs_and_health_is_not_traced(settings: Settings, collected: list[bytes]) -> None:
    await calls(settings)
    spans = spans_of(collected)
    (request,) = [span for span in spans if span.name == "POST /v1/models/{model}/predict"]
    assert [span.name for span in spans if span.parent_span_id == request.span_id] == ["queue", "run"]
    assert not [span for span in spans if "health" in span.name]


async def test_traces_hold_the_tenant_and_no_text_key_or_session(settings: Settings, collected: list[bytes]) -> None:
    session = await calls(settings)
    everything = b"".join(collected)
    assert b"shop" in everything
    for secret in (KEY, session, "the cat"):
        assert secret.encode() not in everything
