"""Calls as any client of gRPC makes them: messages, statuses, metadata, cancellation, health and reflection."""

import gzip
import json
import struct
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import KEYS, MAX_BODY_BYTES
from tests.metrics import Metrics
from tests.server import Server, eventually

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
messages = pytest.importorskip("service.grpc.messages", reason="grpcio is not installed")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
health_pb2_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")

SERVICE = "/inference.GRPCInferenceService/"
ALICE = (("authorization", f"Bearer {KEYS['alice']}"),)
BOB = (("x-api-key", KEYS["bob"]),)
Request = messages.message("ModelInferRequest")
Response = messages.message("ModelInferResponse")
StreamResponse = messages.message("ModelStreamInferResponse")


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc_address) as running:
        yield running


def call(channel: Any, request: Any, metadata: Any = ALICE, method: str = "ModelInfer", **options: Any) -> Any:
    name = type(request).__name__.removesuffix("Request")
    method = method if name == "ModelInfer" else name
    answer = messages.message(f"{method}Response").FromString
    stub = channel.unary_unary(SERVICE + method, type(request).SerializeToString, answer)
    return stub(request, metadata=metadata, timeout=30, **options)


def refused(channel: Any, request: Any, status: str, *mentions: str, metadata: Any = ALICE, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as failure:
        call(channel, request, metadata, **options)
    assert failure.value.code().name == status, failure.value.details()
    for mention in mentions:
        assert mention in failure.value.details()
    return dict(failure.value.trailing_metadata())


def raw(*row: int, **fields: Any) -> Any:
    request = Request(model_name="tiny", **fields)
    request.inputs.add(name="TOKEN_IDS", datatype="INT64", shape=[1, len(row)])
    request.raw_input_contents.append(struct.pack(f"<{len(row)}q", *row))
    return request


def typed(datatype: str, field: str, *elements: Any) -> Any:
    request = Request(model_name="tiny")
    item = request.inputs.add(name="TOKEN_IDS", datatype=datatype, shape=[1, len(elements)])
    getattr(item.contents, field).extend(elements)
    return request


def parameter(request: Any, name: str, **value: Any) -> Any:
    for field, content in value.items():
        setattr(request.parameters[name], field, content)
    return request


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("INT8", "int_contents"), ("INT16", "int_contents"), ("INT32", "int_contents"), ("INT64", "int64_contents"),
        ("UINT8", "uint_contents"), ("UINT16", "uint_contents"), ("UINT32", "uint_contents"),
        ("UINT64", "uint64_contents"),
    ],
)  # fmt: skip
def test_typed_contents_of_every_integer(channel: Any, datatype: str, field: str) -> None:
    expected = call(channel, raw(1, 2)).raw_output_contents
    assert call(channel, typed(datatype, field, 1, 2)).raw_output_contents == expected


def test_typed_texts_and_typed_outputs(channel: Any) -> None:
    request = parameter(Request(model_name="tiny"), "binary_data_output", bool_param=False)
    item = request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    item.contents.bytes_contents.append(b"a b")
    response = call(channel, request)
    assert not response.raw_output_contents
    by_name = {output.name: output.contents for output in response.outputs}
    assert len(by_name["TOP_IDS"].int64_contents) == len(by_name["TOP_TOKENS"].bytes_contents) == 5
    assert sum(by_name["TOP_PROBABILITIES"].fp32_contents) <= 1


def test_requests_that_contradict_themselves_name_the_field(channel: Any) -> None:
    request = raw(1, 2)
    request.raw_input_contents[0] = b"1234"
    trailers = refused(channel, request, "INVALID_ARGUMENT", "TOKEN_IDS has 4 bytes: expected 16")
    assert trailers["unroll-code"] == "invalid_request"
    assert trailers["unroll-param"] == "TOKEN_IDS"
    request = raw(1)
    request.raw_input_contents.append(b"")
    refused(channel, request, "INVALID_ARGUMENT", "raw_input_contents has 2 entries: expected 1")
    request = raw(1)
    request.inputs[0].contents.int64_contents.append(1)
    refused(channel, request, "INVALID_ARGUMENT", "TOKEN_IDS has contents", "expected one of them")
    refused(channel, typed("INT64", "int_contents", 1), "INVALID_ARGUMENT", "int_contents: expected int64_contents")
    refused(channel, typed("INT8", "int_contents", 300), "INVALID_ARGUMENT", "INT8 cannot hold")
    refused(channel, typed("FP16", "fp32_contents", 1), "INVALID_ARGUMENT", "FP16", "raw_input_contents")
    refused(channel, typed("FP32", "fp32_contents", 1), "INVALID_ARGUMENT", "datatype FP32: expected INT64")
    refused(channel, typed("TEXTS", "fp32_contents", 1), "INVALID_ARGUMENT", "'TEXTS'", "expected one of BOOL")
    request = raw(1)
    request.inputs[0].parameters["shared_memory_region"].string_param = "x"
    refused(channel, request, "INVALID_ARGUMENT", "shared_memory_region")
    refused(channel, Request(model_name="tiny"), "INVALID_ARGUMENT", "expected")
    request = raw(1)
    for index in range(65):
        request.inputs.add(name=str(index), datatype="INT64", shape=[1])
    refused(channel, request, "INVALID_ARGUMENT", "expected")


def test_parameters_that_are_wrong_name_themselves(channel: Any) -> None:
    refused(channel, parameter(raw(1), "nonsense", int64_param=1), "INVALID_ARGUMENT", "nonsense")
    refused(channel, parameter(raw(1), "sequence_id", int64_param=-1), "INVALID_ARGUMENT", "sequence_id is '-1'")
    refused(channel, parameter(raw(1), "sequence_id", double_param=1.5), "INVALID_ARGUMENT", "sequence_id is '1.5'")
    refused(channel, parameter(raw(1), "sequence_start", bool_param=True), "INVALID_ARGUMENT", "sequence_id")
    request = raw(1)
    request.parameters["top_k"].SetInParent()
    refused(channel, request, "INVALID_ARGUMENT", "'top_k' without a value")


def test_the_line_of_a_step_tells_where_its_session_stands_and_nothing_that_was_sent(
    channel: Any, server: Server
) -> None:
    request = Request(model_name="tiny")
    item = request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    item.contents.bytes_contents.append(b"Zanzibar")
    request.parameters["sequence_id"].string_param = "Timbuktu"
    request.parameters["sequence_start"].bool_param = True
    answer = call(channel, request, (*ALICE, ("x-request-id", "told-in-the-log")))
    session = answer.parameters["session_id"].string_param
    (line,) = eventually(lambda: [line for line in server.log.splitlines() if "told-in-the-log" in line])
    told = json.loads(line)
    assert (told["model"], told["session"], told["step"]) == ("tiny", session[:12], 1)
    assert list(told["phases"])[-3:] == ["queue", "run", "commit"]
    for secret in ("Zanzibar", "Timbuktu", KEYS["alice"], session):
        assert secret not in server.log


def test_a_step_that_does_not_fit_is_a_conflict(channel: Any) -> None:
    request = parameter(raw(1), "sequence_id", uint64_param=2**64 - 1)
    call(channel, parameter(request, "sequence_start", bool_param=True))
    conflict = parameter(parameter(raw(1), "sequence_id", uint64_param=2**64 - 1), "step", int64_param=7)
    trailers = refused(channel, conflict, "ABORTED")
    assert (trailers["unroll-code"], trailers["unroll-applied"], trailers["unroll-step"]) == (
        "step_conflict",
        "no",
        "1",
    )


def test_bytes_that_are_no_message_are_refused(channel: Any) -> None:
    stub = channel.unary_unary(f"{SERVICE}ModelInfer")
    with pytest.raises(grpc.RpcError) as failure:
        stub(b"\xff\xff\xff", metadata=ALICE, timeout=30)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ModelInferRequest" in failure.value.details()
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary(f"{SERVICE}CudaSharedMemoryStatus")(b"", metadata=ALICE, timeout=30)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("coding", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_message_that_is_too_long_once_inflated_is_refused(channel: Any, coding: Any) -> None:
    stub = channel.unary_unary(f"{SERVICE}ModelInfer")
    for size in (MAX_BODY_BYTES + 1, 50_000_000):
        with pytest.raises(grpc.RpcError) as failure:
            stub(bytes(size), metadata=ALICE, timeout=30, compression=coding)
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(gzip.compress(bytes(50_000_000))) < MAX_BODY_BYTES
    assert call(channel, raw(1)).outputs


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", "Basic abc"),)])
def test_a_call_needs_a_key(channel: Any, metadata: Any) -> None:
    trailers = refused(channel, raw(1), "UNAUTHENTICATED", "API key", metadata=metadata)
    assert trailers["x-request-id"].startswith("req_")


def test_tenants_do_not_share_sequences(channel: Any) -> None:
    request = parameter(raw(1), "sequence_id", string_param="of alice")
    call(channel, parameter(request, "sequence_start", bool_param=True))
    other = parameter(raw(1), "sequence_id", string_param="of alice")
    refused(channel, other, "NOT_FOUND", "START flag", metadata=BOB)


def test_the_request_id_comes_back_and_is_logged(channel: Any, server: Server) -> None:
    stub = channel.unary_unary(f"{SERVICE}ModelInfer", Request.SerializeToString, Response.FromString)
    _, done = stub.with_call(raw(1), metadata=(*ALICE, ("x-request-id", "of-a-grpc-call")), timeout=30)
    assert ("x-request-id", "of-a-grpc-call") in {(name, value) for name, value in done.trailing_metadata()}
    line = eventually(lambda: next((line for line in server.log.splitlines() if "of-a-grpc-call" in line), None))
    assert f'"route": "{SERVICE}ModelInfer"' in line
    assert '"tenant": "alice"' in line


def test_calls_are_counted(channel: Any, http: httpx.Client) -> None:
    labels = {"route": f"{SERVICE}ModelInfer", "method": "GRPC", "code": "200"}
    before = Metrics(http).value("requests_total", **labels)
    call(channel, raw(1))
    eventually(lambda: Metrics(http).value("requests_total", **labels) == before + 1)


def test_a_deadline_ends_a_call(channel: Any) -> None:
    stub = channel.unary_unary(f"{SERVICE}ModelInfer", Request.SerializeToString, Response.FromString)
    with pytest.raises(grpc.RpcError) as failure:
        stub(parameter(raw(1), "sequence_id", int64_param=31), metadata=ALICE, timeout=0.02)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_cancelled_call_costs_nothing_and_others_go_on(channel: Any, http: httpx.Client) -> None:
    labels = {"route": f"{SERVICE}ModelStreamInfer", "method": "GRPC", "code": "499"}
    before = Metrics(http).value("requests_total", **labels)
    ended = threading.Event()

    def requests() -> Iterator[Any]:
        yield raw(1)
        ended.wait(20)

    stub = channel.stream_stream(f"{SERVICE}ModelStreamInfer", Request.SerializeToString, StreamResponse.FromString)
    stream = stub(requests(), metadata=ALICE)
    assert not next(iter(stream)).error_message
    stream.cancel()
    ended.set()
    eventually(lambda: Metrics(http).value("requests_total", **labels) == before + 1)
    assert call(channel, raw(1)).outputs


def test_the_first_error_ends_a_stream_that_asks_for_it(channel: Any) -> None:
    stub = channel.stream_stream(f"{SERVICE}ModelStreamInfer", Request.SerializeToString, StreamResponse.FromString)
    requests = [raw(1), Request(model_name="nothing", id="9"), raw(2)]
    answers = [*stub(iter(requests), metadata=ALICE, timeout=30)]
    assert [bool(answer.error_message) for answer in answers] == [False, True, False]
    assert answers[1].infer_response.id == "9"
    stream = stub(iter(requests), metadata=(*ALICE, ("triton_grpc_error", "true")), timeout=30)
    assert not next(stream).error_message
    with pytest.raises(grpc.RpcError) as failure:
        next(stream)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_client_that_reads_no_answers_does_not_keep_others_waiting(channel: Any, server: Server) -> None:
    large = Request(model_name="next-word")
    large.inputs.add(name="TOKEN_IDS", datatype="INT64", shape=[8, 1])
    large.raw_input_contents.append(bytes(64))
    large.outputs.add(name="LOGITS")
    with grpc.insecure_channel(server.grpc_address) as hostile:
        stub = hostile.stream_stream(f"{SERVICE}ModelStreamInfer", Request.SerializeToString)
        unread = [stub(iter([large] * 40), metadata=BOB) for _ in range(8)]
        for _ in range(20):
            assert call(channel, raw(1)).outputs
        for stream in unread:
            stream.cancel()
    assert call(channel, raw(1), BOB).outputs


def test_health_needs_no_key(channel: Any) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "inference.GRPCInferenceService"):
        check = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as failure:
        stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=30)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_reflection_describes_the_services(channel: Any) -> None:
    database = pytest.importorskip("grpc_reflection.v1alpha.proto_reflection_descriptor_database")
    pools = pytest.importorskip("google.protobuf.descriptor_pool")
    keyed = grpc.intercept_channel(channel, Keyed())
    found = database.ProtoReflectionDescriptorDatabase(keyed)
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= {*found.get_services()}
    service = pools.DescriptorPool(found).FindServiceByName("inference.GRPCInferenceService")
    assert service.methods_by_name["ModelInfer"].input_type.full_name == "inference.ModelInferRequest"
    with pytest.raises(grpc.RpcError):
        database.ProtoReflectionDescriptorDatabase(channel).get_services()


class Keyed(grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
    """Sends the key of a tenant with every call."""

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(details._replace(metadata=ALICE), requests)
