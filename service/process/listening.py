"""Opening of ports that may still be in use."""

import errno
import logging
import socket
import time
from collections.abc import Callable

from service.domain.errors import SettingsError
from service.settings import Settings

log = logging.getLogger(__name__)

PORT_SECONDS = 15.0

#: Opens a socket of a family at a host and port. Raises OSError.
Opener = Callable[[socket.AddressFamily, str, int], socket.socket]


def listen(settings: Settings) -> socket.socket:
    """Open the port that all workers accept on. Raises SettingsError."""
    return when_free(settings, "UNROLL_PORT", settings.port, _listen)


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=family, backlog=2048)


def when_free(settings: Settings, name: str, port: int, open_socket: Opener) -> socket.socket:
    """Open a port of the setting `name`, and wait for it while it is in use. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    deadline, logged = time.monotonic() + PORT_SECONDS, False
    while True:
        try:
            return open_socket(family, settings.host, port)
        except OSError as error:
            # The workers of a supervisor that was just killed close the port soon.
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                if not logged:
                    log.warning("port in use; waiting for it", extra={"port": port})
                logged = True
                time.sleep(0.1)
                continue
            raise SettingsError(
                f"cannot listen on UNROLL_HOST {settings.host}, {name} {port}: {error.strerror}; "
                "expected an address of this machine and a free port"
            ) from None
