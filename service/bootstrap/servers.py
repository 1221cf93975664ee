"""Settings of a worker's HTTP application, and its gRPC server."""

from typing import Protocol

from service.application.access.client_addresses import TrustedProxies
from service.application.access.key_ring import KeyRing
from service.application.limits.request_bounds import RequestBounds
from service.application.limits.request_cost import CostLimits
from service.application.services import Services
from service.certificates import Certificate
from service.http.body_sizes import SizeLimits
from service.http.middleware.authorization.browser_policy import BrowserSettings
from service.http.middleware.authorization.host_names import is_wildcard
from service.http.middleware.request import RequestSettings
from service.http.open_inference.options import read_options
from service.settings import Settings


class GrpcListener(Protocol):
    """The gRPC server of a worker, see service/grpc/server.py."""

    @property
    def is_busy(self) -> bool: ...
    async def start(self) -> None: ...
    def drain(self) -> None: ...
    async def cancel(self) -> None: ...


def make_grpc(
    settings: Settings, services: Services, bounds: RequestBounds, certificate: Certificate | None
) -> GrpcListener | None:
    """Return the gRPC server, or None if the settings ask for none. Nothing of gRPC is imported then."""
    if settings.grpc_port is None or "grpc" not in settings.protocols:
        return None
    from service.grpc.runner import CallSettings  # noqa: PLC0415 - the extra may not be installed
    from service.grpc.server import ConnectionSettings, GrpcServer  # noqa: PLC0415

    calls = CallSettings(
        request_seconds=settings.request_timeout_seconds,
        write_seconds=settings.write_timeout_seconds,
        max_calls=settings.max_requests,
        max_streams=max(1, min(settings.max_requests, settings.max_pending_bytes // settings.max_body_bytes)),
        max_message_bytes=settings.max_body_bytes,
        window=settings.max_unanswered_frames,
        access_log=settings.access_log,
        public_operations=settings.public_operations,
        proxies=TrustedProxies(settings.trusted_proxies),
    )
    connections = ConnectionSettings(
        host=settings.host,
        port=settings.grpc_port,
        max_message_bytes=settings.max_body_bytes,
        max_metadata_bytes=settings.max_header_bytes,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address or max(1, settings.max_connections // 2),
        handshake_seconds=settings.header_timeout_seconds,
        idle_seconds=settings.keep_alive_seconds,
        ping_seconds=settings.websocket_ping_seconds,
        grace_seconds=settings.grace_seconds,
    )
    pem = None if certificate is None else lambda: certificate.pem
    return GrpcServer(services, bounds, calls, connections, read_options, certificate=pem)


def request_settings(settings: Settings, keys: KeyRing) -> RequestSettings:
    """Return what the middleware checks and bounds in each request."""
    open_to_all = not keys.required
    browser = BrowserSettings(
        loopback_hosts=open_to_all and not is_wildcard(settings.host),
        same_origin=open_to_all,
        hosts=settings.allowed_hosts,
        origins=settings.allowed_origins,
    )
    return RequestSettings(
        settings.max_body_bytes,
        settings.request_timeout_seconds,
        keys,
        settings.access_log,
        browser=browser,
        public_operations=settings.public_operations,
        max_wrong_keys=settings.max_wrong_keys,
        min_body_bytes_per_second=settings.min_body_bytes_per_second,
        body_grace_seconds=settings.header_timeout_seconds,
        cost_limits=CostLimits(settings.max_request_timesteps, settings.max_answer_numbers, settings.max_pending_bytes),
        size_limits=SizeLimits(settings.max_input_tokens, settings.max_input_characters, settings.max_body_bytes),
    )
