"""What `unroll doctor` says of a service with TLS: whether its key fits, and whether it is ready."""

import shutil
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("days", "level", "mention"),
    [(1, "warning", "expected a renewal, at least 14 days before"), (15, "ok", "valid until")],
)
def test_a_certificate_that_expires_soon_is_a_warning(tmp_path: Path, days: int, level: str, mention: str) -> None:
    pair = Certificates.make(tmp_path / "pair", days=days)
    files = {"tls_certificate": Path(pair.path("crt")), "tls_key": Path(pair.path("key"))}
    (finding,) = [one for one in check_settings(settings.load(**files)) if mention in one.text]
    assert finding.level == level


def test_a_certificate_that_has_expired_is_an_error(pairs: list[Certificates], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.deployment.access_checks.time.time", lambda: 4e9)
    files = {"tls_certificate": Path(pairs[0].path("crt")), "tls_key": Path(pairs[0].path("key"))}
    (finding,) = [one for one in check_settings(settings.load(**files)) if "expired at" in one.text]
    assert finding.level == "error"


@pytest.mark.parametrize(
    ("chosen", "warned"),
    [
        ({}, True),
        ({"host": "127.0.0.1"}, False),
        ({"trusted_proxies": ("10.0.0.1",)}, False),
        ({"api_keys": {}}, False),
        ({"tls": True}, False),
    ],
)
def test_keys_that_cross_a_network_without_tls_are_a_warning(
    pairs: list[Certificates], chosen: dict[str, Any], warned: bool
) -> None:
    if chosen.pop("tls", False):
        chosen = {"tls_certificate": Path(pairs[0].path("crt")), "tls_key": Path(pairs[0].path("key"))}
    fields = {"host": "0.0.0.0", "api_keys": {"a-long-key": "shop"}} | chosen  # noqa: S104
    found = [one for one in check_settings(settings.load(**fields)) if "not encrypted" in one.text]
    assert [one.level for one in found] == ["warning"] * warned
