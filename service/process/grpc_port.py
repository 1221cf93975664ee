"""Port for gRPC, which each worker opens by itself: the kernel spreads the connections over their sockets."""

import contextlib
import logging
import socket
from collections.abc import Iterator

from service.domain.packages import require_packages
from service.process.listening import when_free
from service.settings import Settings

log = logging.getLogger(__name__)

#: Packages of the extra `grpc`.
PACKAGES = ("grpc", "grpc_health", "grpc_reflection")


@contextlib.contextmanager
def reserved_port(settings: Settings) -> Iterator[Settings]:
    """Keep the port for gRPC from others, and yield the settings with its number. Raises SettingsError.

    A socket that is bound and does not listen gets no connections, and only this user's processes can listen beside it.
    """
    if settings.grpc_port is None or "grpc" not in settings.protocols:
        yield settings
        return
    require_packages(PACKAGES, "grpc", "UNROLL_GRPC_PORT", settings.grpc_port, "no UNROLL_GRPC_PORT")
    with when_free(settings, "UNROLL_GRPC_PORT", settings.grpc_port, _reserve) as reserved:
        host, port = reserved.getsockname()[:2]
        log.info("gRPC port", extra={"address": f"{host}:{port}"})
        yield settings.model_copy(update={"grpc_port": port})


def _reserve(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Return a socket that is bound and does not listen. Raises OSError if anyone listens on the port."""
    with socket.create_server((host, port), family=family) as free:
        port = free.getsockname()[1]
    reserved = socket.socket(family, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except BaseException:
        reserved.close()
        raise
    return reserved
