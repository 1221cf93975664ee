"""TLS to clients: HTTP, WebSockets and gRPC behind a certificate that changes, within the usual bounds."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.certificates import Certificates
from tests.integration.process.attacks import (
    HEADER_SECONDS,
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    SLACK_SECONDS,
    WRITE_SECONDS,
    predict,
    request,
)
from tests.metrics import Metrics
from tests.raw_connection import RawConnection
from tests.server import NEW_CONNECTIONS, Server, answered, eventually, new_session, short_folder, step, tiny_models

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl on the PATH"),
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Certificates]:
    folder = tmp_path_factory.mktemp("pairs")
    return [Certificates.make(folder / str(number)) for number in range(2)]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory, pairs: list[Certificates]) -> Path:
    """The folder of the service's certificate, which `install` changes."""
    folder = tmp_path_factory.mktemp("certified")
    install(pairs[0], folder)
    both = "".join(Path(pair.path("ca.crt")).read_text() for pair in pairs)
    (folder / "authorities").write_text(both)
    return folder


def install(pair: Certificates, folder: Path) -> None:
    for name in ("crt", "key"):
        shutil.copyfile(pair.path(name), folder / name)


@pytest.fixture(scope="module")
def secure(certified: Path) -> Iterator[Server]:
    """One worker with short times and few connections, and TLS on both ports."""
    limits = {
        "max_connections": MAX_CONNECTIONS,
        "header_timeout_seconds": HEADER_SECONDS,
        "keep_alive_seconds": IDLE_SECONDS,
        "write_timeout_seconds": WRITE_SECONDS,
        "min_body_bytes_per_second": 1000,
    }
    files = {"tls_certificate": certified / "crt", "tls_key": certified / "key"}
    with pytest.MonkeyPatch.context() as environment, short_folder() as folder:
        environment.setenv("SSL_CERT_FILE", str(certified / "authorities"))  # for httpx
        models = tiny_models(folder / "models")
        with Server(folder, models=models, grpc_port=0, **limits, **files) as server:
            yield server
            assert "Traceback" not in server.log


@pytest.fixture
def client(secure: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=secure.url, headers=NEW_CONNECTIONS, timeout=30) as http:
        yield http


def trust(certified: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certified / "authorities"))


@contextlib.contextmanager
def encrypted(server: Server, certified: Path, **options: Any) -> Iterator[RawConnection]:
    """A connection that is through its handshake."""
    with contextlib.closing(RawConnection(server.url, **options)) as connection:
        connection.socket = trust(certified).wrap_socket(connection.socket, server_hostname="localhost")
        yield connection


def asked(server: Server, certified: Path, path: bytes) -> int:
    with encrypted(server, certified) as connection:
        connection.send(request(method=b"GET", path=path))
        return connection.answer().status


def shed(http: httpx.Client, reason: str) -> float:
    return Metrics(http).value("shed_total", reason=reason)


def served_chain(server: Server, certified: Path) -> bytes | None:
    with encrypted(server, certified) as connection:
        assert isinstance(connection.socket, ssl.SSLSocket)
        return connection.socket.getpeercert(binary_form=True)


def test_sessions_are_served_over_https(secure: Server, client: httpx.Client) -> None:
    assert secure.url.startswith("https://")
    session = new_session(client)
    assert answered(step(client, session, "the dog", step=0))["step"] == 1
    assert client.get("/health/ready").json()["status"] == "ready"


def test_an_answer_that_is_longer_than_any_buffer_arrives_whole(client: httpx.Client) -> None:
    body = {"inputs": [{"text": "the dog"}] * 1024, "options": {"top_k": 100}}
    answer = client.post("/v1/models/tiny/predict", json=body)
    assert len(answered(answer)["outputs"]) == 1024
    assert len(answer.content) > 1_000_000


def test_steps_over_a_websocket(secure: Server, certified: Path, client: httpx.Client) -> None:
    session = new_session(client)
    url = f"{secure.url.replace('https', 'wss')}/v1/sessions/{session}/stream"
    with connect(url, ssl=trust(certified), proxy=None) as websocket:
        for number in range(3):
            websocket.send(json.dumps({"step": number, "input": {"text": "dog"}}))
            assert json.loads(websocket.recv(timeout=20))["step"] == number + 1


def test_calls_over_grpc(secure: Server, certified: Path) -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    messages = pytest.importorskip("service.grpc.messages")
    roots = (certified / "authorities").read_bytes()
    address = secure.grpc_address.replace("127.0.0.1", "localhost")
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(roots)) as channel:
        method = "/inference.GRPCInferenceService/ServerMetadata"
        answer = messages.message("ServerMetadataResponse").FromString
        assert channel.unary_unary(method, response_deserializer=answer)(b"", timeout=20).name == "unroll"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(secure: Server, certified: Path, version: ssl.TLSVersion) -> None:
    context = trust(certified)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with contextlib.closing(RawConnection(secure.url)) as connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection.socket, server_hostname="localhost")


def test_a_request_without_tls_is_told_so(secure: Server, client: httpx.Client) -> None:
    before = shed(client, "tls_handshake")
    with contextlib.closing(RawConnection(secure.url)) as connection:
        connection.send(request(method=b"GET", path=b"/health/live"))
        answer = connection.answer()
        assert (answer.status, answer.error["code"]) == (400, "invalid_request")
        assert "https://" in answer.error["message"]
        assert connection.is_closed()
    assert shed(client, "tls_handshake") == before + 1


def test_bytes_that_are_neither_tls_nor_http_end_the_connection(secure: Server) -> None:
    with contextlib.closing(RawConnection(secure.url)) as connection:
        connection.send(b"\x00" * 1000)
        with contextlib.suppress(ConnectionError):
            while connection.socket.recv(4096):  # perhaps an alert
                pass


def test_a_handshake_has_a_time(secure: Server) -> None:
    with contextlib.closing(RawConnection(secure.url)) as silent, contextlib.closing(RawConnection(secure.url)) as slow:
        slow.send_slowly(itertools.chain([b"\x16\x03\x01\x02\x00\x01"], itertools.repeat(b"\x00", 200)), 0.1)
        assert slow.is_closed()
        assert silent.seconds_until_closed() < HEADER_SECONDS + SLACK_SECONDS


def test_connections_count_from_before_their_handshake(secure: Server, certified: Path) -> None:
    """Beside as many of its address as there may be, a connection is told that there is no room; health is served."""

    def statuses() -> tuple[int, int]:
        """The others make room when they are a second old, which a slow machine may take to open them."""
        with contextlib.ExitStack() as stack:
            for _ in range(MAX_CONNECTIONS // 2):
                stack.enter_context(contextlib.closing(RawConnection(secure.url)))
            return asked(secure, certified, b"/v1/models"), asked(secure, certified, b"/health/live")

    eventually(lambda: statuses() == (503, 200), 30)


def test_a_head_that_is_sent_slowly_is_answered_in_time(secure: Server, certified: Path) -> None:
    with encrypted(secure, certified) as connection:
        connection.send(b"GET / HTTP/1.1\r\nA: b")
        answer = connection.answer()
        assert (answer.status, answer.error["code"]) == (503, "deadline_exceeded")


def test_a_client_that_still_sends_gets_its_answer(secure: Server, certified: Path) -> None:
    with encrypted(secure, certified) as connection:
        connection.send(request(b"Content-Length: 100000000") + b"x" * 500_000)
        answer = connection.answer()
        assert (answer.status, answer.error["code"]) == (413, "body_too_large")


def test_answers_that_are_not_read_are_dropped_with_their_connection(
    secure: Server, certified: Path, client: httpx.Client
) -> None:
    before = shed(client, "unread_answer")
    with encrypted(secure, certified, receive_buffer=4096) as connection:
        connection.socket.setblocking(False)
        with contextlib.suppress(ssl.SSLWantWriteError, BlockingIOError):
            connection.socket.send(request(method=b"GET", path=b"/openapi.json") * 500)
        eventually(lambda: shed(client, "unread_answer") == before + 1, WRITE_SECONDS + SLACK_SECONDS)


def test_requests_behind_one_another_are_answered_in_order(secure: Server, certified: Path) -> None:
    with encrypted(secure, certified) as connection:
        connection.send(predict() * 20)
        assert {connection.answer().status for _ in range(20)} == {200}


def test_a_new_certificate_is_served_without_a_restart_and_a_broken_one_is_not(
    secure: Server, certified: Path, pairs: list[Certificates]
) -> None:
    first = served_chain(secure, certified)
    (certified / "key").write_text("broken")
    eventually(lambda: "certificate not renewed" in secure.log)
    assert served_chain(secure, certified) == first
    install(pairs[1], certified)
    eventually(lambda: served_chain(secure, certified) != first)
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    address = secure.grpc_address.replace("127.0.0.1", "localhost")
    new_alone = Path(pairs[1].path("ca.crt")).read_bytes()
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(new_alone)) as channel:
        grpc.channel_ready_future(channel).result(20)


def test_a_worker_that_starts_with_a_broken_pair_is_tried_again(
    secure: Server, certified: Path, pairs: list[Certificates]
) -> None:
    (certified / "key").write_text("broken")
    os.kill(secure.worker_pids()[0], signal.SIGKILL)
    eventually(lambda: "certificate cannot be used" in secure.log, 60)
    install(pairs[1], certified)
    eventually(secure.is_ready, 120)


def test_a_service_whose_first_certificate_is_broken_does_not_start(tmp_path: Path, pairs: list[Certificates]) -> None:
    files = {"tls_certificate": pairs[0].path("crt"), "tls_key": pairs[1].path("key")}
    server = Server(tmp_path, models=tiny_models(tmp_path / "models"), **files)
    with pytest.raises(AssertionError, match="the key is not that of the certificate"), server:
        pass
