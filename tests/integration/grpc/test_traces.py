"""Traces of calls over gRPC, as a collector of OpenTelemetry receives them."""

import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from service.bootstrap.worker import running_worker
from service.settings import Settings
from tests.deployments import free_port
from tests.trace_collector import KEY, PARENT, TRACE, attributes, collector, phases, spans_of, traced_settings

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
messages = pytest.importorskip("service.grpc.messages", reason="grpcio is not installed")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")

TEXT = b"the unspoken word"
SERVICE = "inference.GRPCInferenceService/"
METADATA = (("x-api-key", KEY), ("traceparent", f"00-{TRACE}-{PARENT}-01"))
Request, Response = messages.message("ModelInferRequest"), messages.message("ModelInferResponse")
StreamResponse = messages.message("ModelStreamInferResponse")


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    with collector(monkeypatch) as bodies:
        yield bodies


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with traced_settings(grpc_port=free_port()) as settings:
        yield settings


def ids(*row: int, model: str = "tiny", **parameters: Any) -> Any:
    """A request of one row, perhaps a step of a sequence."""
    request = Request(model_name=model)
    request.inputs.add(name="TOKEN_IDS", datatype="INT64", shape=[1, len(row)])
    request.raw_input_contents.append(struct.pack(f"<{len(row)}q", *row))
    for name, value in parameters.items():
        setattr(request.parameters[name], "bool_param" if isinstance(value, bool) else "int64_param", value)
    return request


def text(content: bytes) -> Any:
    request = Request(model_name="tiny")
    request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(content)
    return request


class Client:
    """A client of the worker's port, in a trace of its own."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def infer(self, request: Any) -> Any:
        stub = self._channel.unary_unary(f"/{SERVICE}ModelInfer", Request.SerializeToString, Response.FromString)
        return await stub(request, metadata=METADATA, timeout=30)

    async def stream(self, *requests: Any) -> list[Any]:
        path = f"/{SERVICE}ModelStreamInfer"
        stub = self._channel.stream_stream(path, Request.SerializeToString, StreamResponse.FromString)
        return [response async for response in stub(iter(requests), metadata=METADATA, timeout=30)]

    async def is_healthy(self) -> bool:
        request, response = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        stub = self._channel.unary_unary("/grpc.health.v1.Health/Check", request.SerializeToString, response.FromString)
        return bool((await stub(request(), metadata=METADATA, timeout=30)).status == response.SERVING)


async def make_calls(settings: Settings) -> str:
    """Make calls of all kinds; return the id of the session of a sequence."""
    async with running_worker(settings) as worker:
        assert worker.grpc is not None
        await worker.grpc.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc_port}") as channel:
            client = Client(channel)
            assert await client.is_healthy()
            await client.infer(text(TEXT))
            step = await client.infer(ids(1, 2, sequence_id=7, sequence_start=True))
            with pytest.raises(grpc.aio.AioRpcError, match="nothing"):
                await client.infer(ids(1, model="nothing"))
            answers = await client.stream(ids(3, sequence_id=7), ids(4), ids(5, model="nothing"))
            assert [bool(answer.error_message) for answer in answers] == [False, False, True]
        await worker.grpc.cancel()
    return str(step.parameters["session_id"].string_param)


async def test_calls_and_messages_have_the_phases_of_their_operations_in_the_clients_trace(
    settings: Settings, collected: list[bytes]
) -> None:
    session = await make_calls(settings)
    spans = spans_of(collected)
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    calls = [span for span in spans if span.parent_span_id.hex() == PARENT]
    calls.sort(key=lambda span: span.start_time_unix_nano)
    assert [span.name.removeprefix(SERVICE) for span in calls] == [*["ModelInfer"] * 3, "ModelStreamInfer"]
    answered, step, refused, stream = calls
    assert phases(spans, answered) == ["queue", "run"]
    assert phases(spans, step)[-3:] == ["queue", "run", "commit"]
    assert phases(spans, refused) == []
    assert attributes(step)["rpc.method"] == "ModelInfer"
    assert [attributes(span)["rpc.grpc.status_code"] for span in calls] == [0, 0, grpc.StatusCode.NOT_FOUND.value[0], 0]
    assert attributes(refused)["error.type"] == "model_not_found"
    assert {attributes(span)["unroll.tenant"] for span in calls} == {"shop"}
    messages_of = [span for span in spans if span.parent_span_id == stream.span_id]
    messages_of.sort(key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in messages_of] == ["message"] * 3
    found = [phases(spans, message) for message in messages_of]
    assert found[0][-3:] == ["queue", "run", "commit"]
    assert found[1:] == [["queue", "run"], []]
    everything = b"".join(collected)
    for secret in (KEY, session, TEXT.decode()):
        assert secret.encode() not in everything


async def test_without_traces_nothing_of_them_is_there(
    settings: Settings, collected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)  # as in a process that has not imported it
    await make_calls(settings.model_copy(update={"traces": "off"}))
    assert not {name for name in sys.modules if name.startswith("opentelemetry")}
    assert not collected
