"""Credentials of the gRPC server, which follow the certificate of the service."""

from collections.abc import Callable
from typing import Any, Protocol

import grpc


class Pem(Protocol):
    """A certificate chain and its key."""

    @property
    def chain(self) -> bytes: ...
    @property
    def key(self) -> bytes: ...


class CurrentCertificate:
    """Certificate that the library asks for before each handshake.

    `current` returns the same object until the certificate changes.
    """

    def __init__(self, current: Callable[[], Pem]) -> None:
        self._current = current
        self._known = current()

    def credentials(self) -> Any:  # noqa: ANN401 - grpc has no types
        """Return the credentials of a port."""
        return grpc.dynamic_ssl_server_credentials(_configuration(self._known), self._fetch)

    def _fetch(self) -> Any:  # noqa: ANN401 - likewise
        """Return a configuration if the certificate has changed, else None. Called in a thread of the library."""
        pem = self._current()
        if pem is self._known:
            return None
        self._known = pem
        return _configuration(pem)


def _configuration(pem: Pem) -> Any:  # noqa: ANN401 - likewise
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)])
