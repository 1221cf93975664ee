"""gRPC through the committed proxy: calls go to any replica; a sequence continues when that of its stream is killed."""

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.drill.behind_proxy import BehindProxy, running_behind_proxy
from tests.drill.programs import require
from tests.metrics import Metrics
from tests.server import Server, eventually, short_folder, tiny_models

triton = pytest.importorskip("tritonclient.grpc", reason="make dev installs tritonclient")
grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

pytestmark = pytest.mark.slow
WORDS = ["the dog", "the cat", "the dog the", "cat", "dog", "the", "cat the", "dog dog"]
#: A channel of its own connects again soon after it was refused.
CHANNEL = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 500)]


@pytest.fixture(scope="module")
def served() -> Iterator[BehindProxy]:
    require("haproxy")
    with (
        short_folder() as folder,
        running_behind_proxy(folder, tiny_models(folder / "models"), drain_seconds=5) as running,
    ):
        yield running


@pytest.fixture
def client(served: BehindProxy) -> Iterator[Any]:
    eventually(lambda: sum(map(ready, served.replicas)) == len(served.replicas), 60)
    with triton.InferenceServerClient(served.grpc_address, channel_args=CHANNEL) as connected:
        # The proxy has looked at the replicas again when it is ready itself.
        eventually(lambda: is_ready(connected), 30)
        yield connected


def ready(server: Server) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return server.running and httpx.get(f"{server.url}/health/ready", timeout=5).status_code == 200
    return False


def is_ready(client: Any) -> bool:
    with contextlib.suppress(triton.InferenceServerException):
        return bool(client.is_server_ready())
    return False


def inputs(words: str) -> list[Any]:
    text = triton.InferInput("TEXT", [1, 1], "BYTES")
    text.set_data_from_numpy(np.array([[words.encode()]], dtype=object))
    return [text]


def terms(name: str, step: int) -> dict[str, Any]:
    return {"sequence_id": name, "sequence_start": step == 0, "parameters": {"step": step, "top_k": 5}}


def step_of(result: Any) -> int:
    return int(result.get_response().parameters["step"].int64_param)


def probabilities(result: Any) -> list[float]:
    return [float(number) for number in result.as_numpy("TOP_PROBABILITIES")[0]]


def expected(client: Any, name: str) -> list[list[float]]:
    """The answers of a sequence that nothing disturbs."""
    results = [client.infer("tiny", inputs(words), **terms(name, step)) for step, words in enumerate(WORDS)]
    assert [step_of(result) for result in results] == list(range(1, len(WORDS) + 1))
    return [probabilities(result) for result in results]


def served_calls(server: Server, method: str) -> float:
    with server.client() as direct:
        return Metrics(direct).value("requests_total", method="GRPC", route=f"/inference.GRPCInferenceService/{method}")


def in_flight(server: Server) -> float:
    """How many requests a replica has, this question among them."""
    with server.client() as direct:
        return Metrics(direct).value("requests_in_flight")


class Stream:
    """A stream of requests that waits for each answer."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        client.start_stream(lambda result, error: self._answers.put((result, error)))

    def infer(self, name: str, step: int) -> Any:
        self._client.async_stream_infer("tiny", inputs(WORDS[step]), **terms(name, step))
        result, error = self._answers.get(timeout=30)
        if error is not None:
            raise error
        return result


def test_the_calls_of_one_connection_go_to_all_replicas(client: Any, served: BehindProxy) -> None:
    before = [served_calls(server, "ModelInfer") for server in served.replicas]
    expected(client, "unary")
    after = [served_calls(server, "ModelInfer") for server in served.replicas]
    assert all(now > then for now, then in zip(after, before, strict=True))


def test_a_sequence_continues_when_the_replica_of_its_stream_is_killed(client: Any, served: BehindProxy) -> None:
    wanted = expected(client, "undisturbed")
    stream = Stream(client)
    for step in range(4):
        result = stream.infer("disturbed", step)
        assert probabilities(result) == pytest.approx(wanted[step], abs=1e-5)
    own = max(served.replicas, key=in_flight)
    own.kill9()
    try:
        with pytest.raises(triton.InferenceServerException):
            stream.infer("disturbed", 4)
        client.stop_stream()
        stream = Stream(client)
        for step in range(4, len(WORDS)):
            result = stream.infer("disturbed", step)
            assert step_of(result) == step + 1
            assert probabilities(result) == pytest.approx(wanted[step], abs=1e-5)
        client.stop_stream()
    finally:
        own.restart()


def test_a_client_that_leaves_a_stream_ends_it_in_the_replica(client: Any, served: BehindProxy) -> None:
    before = sum(map(in_flight, served.replicas))
    stream = Stream(client)
    stream.infer("left", 0)
    eventually(lambda: sum(map(in_flight, served.replicas)) == before + 1)
    client.stop_stream(cancel_requests=True)
    eventually(lambda: sum(map(in_flight, served.replicas)) == before)


def test_sequences_go_on_while_a_replica_is_restarted(client: Any, served: BehindProxy) -> None:
    wanted = expected(client, "calm")
    results = [client.infer("tiny", inputs(WORDS[step]), **terms("moved", step)) for step in range(2)]
    served.replicas[0].terminate()
    try:
        results += [client.infer("tiny", inputs(WORDS[step]), **terms("moved", step)) for step in range(2, len(WORDS))]
    finally:
        served.replicas[0].restart()
    assert [step_of(result) for result in results] == list(range(1, len(WORDS) + 1))
    for result, probable in zip(results, wanted, strict=True):
        assert probabilities(result) == pytest.approx(probable, abs=1e-5)


def test_a_proxy_without_replicas_says_that_nothing_was_applied(client: Any, served: BehindProxy) -> None:
    for server in served.replicas:
        server.terminate()
    try:
        with grpc.insecure_channel(served.grpc_address, options=CHANNEL) as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=30)
    finally:
        for server in served.replicas:
            server.restart()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    told = dict(refused.value.trailing_metadata())
    assert (told["unroll-code"], told["unroll-applied"], told["retry-after"]) == ("shutting_down", "no", "1")
