"""Limits of the connections of a worker."""

from dataclasses import dataclass

from service.application.access.client_addresses import NO_PROXIES, TrustedProxies
from service.process.connections.open_files import RESERVED_FILES
from service.settings import Settings

#: Connections beyond the limit, each open for a moment only: they are answered 503, and asked for health in earnest.
SPARE_CONNECTIONS = 64
#: A worker accepts this number of connections even if its limit of open files is too small for them.
MIN_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of a worker's connections; each is described with the setting of its name in `service/settings.py`.

    `min_bytes_per_second` is the rate at which a client must read its answers after `write_timeout_seconds`. The bound
    of an address does not hold for those of `proxies`.
    """

    max_header_bytes: int = 16_384
    max_headers: int = 100
    header_timeout_seconds: float = 10.0
    keep_alive_seconds: float = 75.0
    max_connections: int = 4096
    max_connections_per_address: int = 2048
    min_bytes_per_second: int = 500
    write_timeout_seconds: float = 10.0
    proxies: TrustedProxies = NO_PROXIES


def connection_limits(settings: Settings, open_files: int) -> ConnectionLimits:
    """Return the limits of a worker that may open so many files."""
    most = min(settings.max_connections, max(MIN_CONNECTIONS, open_files - RESERVED_FILES - SPARE_CONNECTIONS))
    per_address = settings.max_connections_per_address or max(1, most // 2)
    return ConnectionLimits(
        max_header_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
        header_timeout_seconds=settings.header_timeout_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        max_connections=most,
        max_connections_per_address=min(per_address, most),
        min_bytes_per_second=settings.min_body_bytes_per_second,
        write_timeout_seconds=settings.write_timeout_seconds,
        proxies=TrustedProxies(settings.trusted_proxies),
    )
