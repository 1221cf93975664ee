"""Checks of the ports that the service listens on: free, or in use by a service whose readiness is told."""

import errno
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from service.deployment.finding import Finding
from service.settings import Settings

TIMEOUT_SECONDS = 5.0
MAX_BODY_BYTES = 65_536
#: Addresses that stand for all of a machine's, and one of them to connect to.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each port."""
    yield _check_http(settings)
    if settings.grpc_port and "grpc" in settings.protocols:
        yield _check_port(settings.host, settings.grpc_port, "UNROLL_GRPC_PORT") or Finding.ok(
            "ports", f"port {settings.grpc_port} is in use, for gRPC if a service runs here"
        )


def _check_http(settings: Settings) -> Finding:
    return _check_port(settings.host, settings.port, "UNROLL_PORT") or _check_readiness(settings)


def _check_port(host: str, port: int, name: str) -> Finding | None:
    """Return a finding about a port, or None if it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            return Finding.ok("ports", f"port {port} of {host} is free ({name})")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return None
        return Finding.error(
            "ports", f"{name} {port} on UNROLL_HOST {host}: {error.strerror}; expected an address of this machine"
        )


def _check_readiness(settings: Settings) -> Finding:
    """Ask what listens on the port for its readiness."""
    host = _ANY.get(settings.host, settings.host)
    scheme = "http" if settings.tls_certificate is None else "https"
    url = f"{scheme}://[{host}]:{settings.port}" if ":" in host else f"{scheme}://{host}:{settings.port}"
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_any_certificate())
    open_url = urllib.request.build_opener(*handlers).open
    try:
        with open_url(f"{url}/health/ready", timeout=TIMEOUT_SECONDS) as response:
            report = _read(response)
    except urllib.error.HTTPError as error:
        report = _read(error)
    except OSError:
        report = None
    if report is None:
        return Finding.error(
            "ports", f"UNROLL_PORT {settings.port} is in use, and not by this service: expected a free port"
        )
    if report["status"] == "ready":
        return Finding.ok("ports", f"the service at {url} is ready")
    causes = "; ".join(f"{name}: {state}" for name, state in report["checks"].items() if state != "ok")
    return Finding.error("ports", f"the service at {url} is {report['status']}, expected ready: {causes}")


def _any_certificate() -> ssl.SSLContext:
    """Return a context that checks no certificate: that of the service names another host than this address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _read(response: Any) -> dict[str, Any] | None:  # noqa: ANN401 - a response or an error with one
    """Return the report of a readiness check, or None if it is none."""
    try:
        report = json.loads(response.read(MAX_BODY_BYTES))
    except (OSError, ValueError):
        return None
    return (
        report if isinstance(report, dict) and "status" in report and isinstance(report.get("checks"), dict) else None
    )
