"""Sequences over gRPC survive crashes and continue over the native API; a worker that stops answers what it read."""

import os
import signal
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.traffic import kill_a_worker
from tests.server import (
    Server,
    answered,
    eventually,
    new_session,
    probabilities,
    short_folder,
    step,
    tiny_models,
)

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
messages = pytest.importorskip("service.grpc.messages", reason="grpcio is not installed")

Request, Response = messages.message("ModelInferRequest"), messages.message("ModelInferResponse")
StreamResponse = messages.message("ModelStreamInferResponse")
METHOD = "/inference.GRPCInferenceService/"
WORDS = ["a b", "c", "d e", "f", "b"]


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with short_folder() as folder:
        models = tiny_models(folder / "models")
        with Server(folder, models=models, workers=2, grpc_port=0) as running:
            yield running


@pytest.fixture
def client(served: Server) -> Iterator[httpx.Client]:
    with served.client() as running:
        yield running


def request(name: int | str, words: str, **parameters: Any) -> Any:
    made = Request(model_name="tiny")
    tensor = made.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    tensor.contents.bytes_contents.append(words.encode())
    for output in ("TOP_IDS", "TOP_PROBABILITIES"):
        made.outputs.add(name=output)
    for field, value in {"sequence_id": name, "top_k": 10, **parameters}.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(made.parameters[field], kind, value)
    return made


def infer(served: Server, made: Any) -> Any:
    with grpc.insecure_channel(served.grpc_address) as channel:
        stub = channel.unary_unary(f"{METHOD}ModelInfer", Request.SerializeToString, Response.FromString)
        return stub(made, timeout=30, wait_for_ready=True)


def predicted(response: Any) -> dict[int, float]:
    ids, values = (
        struct.unpack(f"<10{code}", raw) for code, raw in zip("qf", response.raw_output_contents, strict=True)
    )
    return dict(zip(ids, values, strict=True))


def expected(client: httpx.Client) -> list[dict[int, float]]:
    session = new_session(client)
    return [probabilities(answered(step(client, session, words, options={"top_k": 10}))["output"]) for words in WORDS]


@pytest.mark.parametrize("name", [8001, pytest.param("eight", marks=pytest.mark.slow)])
def test_a_sequence_continues_over_the_native_api_after_crashes(
    served: Server, client: httpx.Client, name: int | str
) -> None:
    wanted = expected(client)
    for index, words in enumerate(WORDS[:3]):
        response = infer(served, request(name, words, sequence_start=index == 0, step=index))
        assert predicted(response) == pytest.approx(wanted[index], abs=1e-5)
    for _ in range(2):
        kill_a_worker(served)
    session = response.parameters["session_id"].string_param
    output = answered(step(client, session, WORDS[3], step=3, options={"top_k": 10}))["output"]
    assert probabilities(output) == pytest.approx(wanted[3], abs=1e-5)
    for _ in range(2):
        kill_a_worker(served)
    response = infer(served, request(name, WORDS[4], step=4))
    assert predicted(response) == pytest.approx(wanted[4], abs=1e-5)
    again = infer(served, request(name, WORDS[4], step=4))
    assert again.raw_output_contents == response.raw_output_contents
    assert again.parameters["replayed"].bool_param


def test_all_workers_get_connections(served: Server, client: httpx.Client) -> None:
    for _ in range(40):
        infer(served, request("", "a"))
    lines = [line for line in served.log.splitlines() if f"{METHOD}ModelInfer" in line]
    assert (
        len({line.rpartition('"process": ')[2] for line in lines} & {f"{pid}}}" for pid in served.worker_pids()}) == 2
    )


def test_a_worker_that_stops_answers_what_it_has_read_and_ends_its_streams(served: Server) -> None:
    stop, more = threading.Event(), threading.Event()

    def requests() -> Iterator[Any]:
        yield request("drained", "a", sequence_start=True)
        more.wait(30)
        stop.wait(30)

    with grpc.insecure_channel(served.grpc_address) as channel:
        stub = channel.stream_stream(f"{METHOD}ModelStreamInfer", Request.SerializeToString, StreamResponse.FromString)
        stream = stub(requests())
        first = next(stream)
        assert first.infer_response.parameters["step"].int64_param == 1
        for pid in served.worker_pids():
            os.kill(pid, signal.SIGTERM)
        more.set()
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        stop.set()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "another one can answer" in ended.value.details()
    eventually(served.workers_up, 60)
    response = infer(served, request("drained", "b", step=1))
    assert response.parameters["step"].int64_param == 2


def test_without_the_extra_a_port_is_refused_at_the_start(tmp_path: Path) -> None:
    hide = "import importlib.util, sys; find = importlib.util.find_spec; "
    hide += "importlib.util.find_spec = lambda name, *rest: None if name == 'grpc' else find(name, *rest); "
    hide += "from service.cli import main; sys.argv = ['unroll', 'serve']; main()"
    server = Server(tmp_path, models=tiny_models(tmp_path / "models"), grpc_port=0, program=("-c", hide))
    with pytest.raises(AssertionError, match="expected the extra `grpc`"):
        server.start()


def test_a_worker_without_grpc_imports_nothing_of_it(tmp_path: Path) -> None:
    with short_folder() as folder, Server(folder, models=tiny_models(folder / "models")) as plain:
        (pid,) = plain.worker_pids()
        assert "cygrpc" not in Path(f"/proc/{pid}/maps").read_text("utf-8")
        assert "google/_upb" not in Path(f"/proc/{pid}/maps").read_text("utf-8")
