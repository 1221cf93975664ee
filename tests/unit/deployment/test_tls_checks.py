"""What `unroll doctor` says of a service with TLS: whether its key fits, and whether it is ready."""

import shutil
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service import settings
from service.deployment.port_checks import check_ports
from service.deployment.process_checks import check_settings
from tests.certificates import Certificates

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl on the PATH")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Certificates]:
    folder = tmp_path_factory.mktemp("pairs")
    return [Certificates.make(folder / str(number)) for number in range(2)]


class Ready(BaseHTTPRequestHandler):
    """Answers as a service that is ready."""

    def do_GET(self) -> None:
        body = b'{"status": "ready", "checks": {"store": "ok"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port(pairs: list[Certificates]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pairs[0].path("crt"), pairs[0].path("key"))
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_service_with_tls_is_asked_over_tls_whatever_its_certificate_names(
    port: int, pairs: list[Certificates]
) -> None:
    files = {"tls_certificate": Path(pairs[0].path("crt")), "tls_key": Path(pairs[0].path("key"))}
    (finding,) = check_ports(settings.load(port=port, **files))
    assert (finding.level, finding.text) == ("ok", f"the service at https://127.0.0.1:{port} is ready")


def test_a_key_that_does_not_fit_is_an_error(pairs: list[Certificates]) -> None:
    for number, level in ((0, "ok"), (1, "error")):
        files = {"tls_certificate": Path(pairs[0].path("crt")), "tls_key": Path(pairs[number].path("key"))}
        (finding,) = [one for one in check_settings(settings.load(**files)) if "UNROLL_TLS_KEY" in one.text]
        assert finding.level == level
