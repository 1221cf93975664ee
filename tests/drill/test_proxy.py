"""Clients behind the committed proxy: a replica that stops costs them nothing, and long answers pass."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from httpx_sse import connect_sse

from tests.deployments import Server as Store
from tests.deployments import free_port
from tests.drill.programs import require
from tests.drill.stack import REPLICAS, answers, start_haproxy
from tests.folders import WORDS, write_language_model
from tests.metrics import Metrics
from tests.server import (
    NEW_CONNECTIONS,
    Server,
    answered,
    eventually,
    new_session,
    post,
    refusal,
    short_folder,
    step,
    tiny_models,
)
from tests.sockets import receive, send, stream_of, words

pytestmark = pytest.mark.slow
DRAIN_SECONDS = 5


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    server = Store(folder / "store")
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def replicas(folder: Path, store: Store) -> Iterator[list[Server]]:
    require("haproxy")
    models, url = tiny_models(folder / "models"), f"redis://127.0.0.1:{store.port}/0"
    # Without a symbol for the end of a sequence nothing ends its generations early.
    write_language_model(models, "slow", words=[word for word in WORDS if word != "<s>"], hidden_size=768)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Server(made(folder / name), models=models, redis_url=url, drain_seconds=DRAIN_SECONDS))
            for name in ("one", "two")
        ]


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def url(folder: Path, replicas: list[Server]) -> Iterator[str]:
    """The address of the proxy."""
    addresses = {name: server.url.removeprefix("http://") for name, server in zip(REPLICAS, replicas, strict=True)}
    port = free_port()
    with contextlib.ExitStack() as stack:
        start_haproxy(stack, folder, addresses, port, free_port())
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def http(url: str, replicas: list[Server]) -> Iterator[httpx.Client]:
    eventually(lambda: all(answers(f"{server.url}/health/ready") for server in replicas), 60)
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


def test_any_replica_continues_a_session(http: httpx.Client, replicas: list[Server]) -> None:
    session = new_session(http)
    for number in range(8):
        assert answered(step(http, session, "the dog", step=number))["step"] == number + 1
    for server in replicas:
        with server.client() as direct:
            assert answered(direct.get(f"/v1/sessions/{session}"))["step"] == 8


@pytest.mark.parametrize("headers", [{}, NEW_CONNECTIONS], ids=["kept connections", "new connections"])
def test_clients_that_repeat_nothing_lose_nothing_while_a_replica_is_restarted(
    url: str, http: httpx.Client, replicas: list[Server], headers: dict[str, str]
) -> None:
    stopping = threading.Event()

    def live() -> int:
        with httpx.Client(base_url=url, timeout=30, headers=headers) as client:
            session, count = new_session(client), 0
            while not stopping.wait(0.02):
                assert answered(step(client, session, "the dog", step=count))["step"] == count + 1
                answered(post(client, "/v1/models/tiny/predict", {"input": {"text": "the dog"}}))
                count += 1
            return count

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(live) for _ in range(4)]
        try:
            time.sleep(1)
            replicas[0].terminate()
            replicas[0].restart()
            eventually(lambda: answers(f"{replicas[0].url}/health/ready"), 60)
            time.sleep(3)
        finally:
            stopping.set()
        assert all(client.result() > 10 for client in clients)


def test_a_stream_of_events_passes_token_by_token(http: httpx.Client) -> None:
    body = {"input": {"text": "the dog"}, "options": {"max_tokens": 20, "seed": 1, "stream": True}}
    with http.stream("POST", "/v1/models/tiny/generate", json=body) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = [line for line in stream.iter_lines() if line.startswith("event:")]
    assert events[0] == "event: token"
    assert events[-1] == "event: done"


def test_a_client_that_leaves_a_stream_ends_it_in_the_replica(http: httpx.Client, replicas: list[Server]) -> None:
    before = requests_left(replicas)
    body = {"input": {"text": "the"}, "options": {"max_tokens": 1000, "seed": 1, "stream": True}}
    with connect_sse(http, "POST", "/v1/models/slow/generate", json=body) as source:
        assert next(source.iter_sse()).event == "token"
    eventually(lambda: requests_left(replicas) == before + 1)


def requests_left(replicas: list[Server]) -> float:
    """How many requests their clients have left before the answer."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for server in replicas]
        return sum(Metrics(client).value("requests_total", code="499") for client in clients)


def test_a_websocket_passes(http: httpx.Client, url: str) -> None:
    from websockets.sync.client import connect  # noqa: PLC0415

    session = new_session(http)
    with connect(url.replace("http", "ws", 1) + stream_of(session), compression=None) as socket:
        for number in range(3):
            send(socket, words("the dog"))
            assert receive(socket)["step"] == number + 1


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x=1", "/metrics/", "//metrics", "/%6detrics", "/%6D%65trics"])
def test_metrics_are_not_passed_on(http: httpx.Client, path: str) -> None:
    connection = HTTPConnection(http.base_url.netloc.decode())  # sends the path as it is
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_without_the_store_predictions_continue_and_sessions_are_told_when_to_try_again(
    http: httpx.Client, store: Store
) -> None:
    session = new_session(http)
    with store.frozen():
        eventually(lambda: http.get("/health/ready").json()["status"] == "degraded", 30)
        time.sleep(3)  # no replica is ready any more
        answered(post(http, "/v1/models/tiny/predict", {"input": {"text": "the dog"}}))
        failed = step(http, session, "the dog")
        refusal(failed, 503, "store_unavailable")
        assert failed.headers["retry-after"]
    eventually(lambda: http.get("/health/ready").status_code == 200, 30)
    assert answered(step(http, session, "the dog"))["step"] >= 1


def test_a_replica_that_is_killed_before_it_answers_is_told_as_the_service_tells_it(
    http: httpx.Client, url: str, replicas: list[Server]
) -> None:
    idle = [in_flight(server) for server in replicas]
    body = {"input": {"text": "the"}, "options": {"max_tokens": 1000, "seed": 1}}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: httpx.post(f"{url}/v1/models/slow/generate", json=body, timeout=60))
        eventually(lambda: sum(map(in_flight, replicas)) > sum(idle))
        own = max(zip(replicas, idle, strict=True), key=lambda pair: in_flight(pair[0]) - pair[1])[0]
        os.kill(own.worker_pids()[0], signal.SIGKILL)
        response = asked.result()
    assert refusal_of_the_proxy(response) == "unknown"
    eventually(own.workers_up, 60)


def in_flight(server: Server) -> float:
    """How many requests a replica has, this question among them."""
    with server.client() as direct:
        return Metrics(direct).value("requests_in_flight")


def refusal_of_the_proxy(response: httpx.Response) -> str:
    """What the proxy says of the effect of a request that it could not pass on."""
    assert (response.status_code, response.headers["retry-after"]) == (503, "1"), response.text
    assert response.json()["error"]["code"] == "shutting_down"
    return str(response.json()["error"]["applied"])


def test_a_proxy_without_replicas_answers_as_the_service_does(http: httpx.Client, replicas: list[Server]) -> None:
    for server in replicas:
        server.terminate()
    try:
        assert refusal_of_the_proxy(http.get("/v1/models")) == "no"
    finally:
        for server in replicas:
            server.restart()
