"""TLS as REDIS_URL asks for it, read once, when the service starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio.connection import RedisSSLContext, SSLConnection

from service.domain.errors import SettingsError

#: The options of a URL that lead to files, and all of them.
FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
OPTIONS = (*FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers")


class TlsConnection(SSLConnection):
    """A connection by a `context` that all share: each of the driver's own reads every certificate of the system.

    That takes tens of milliseconds, in which a worker does nothing else.
    """

    def __init__(self, *, context: RedisSSLContext, **options: Any) -> None:  # noqa: ANN401 - the driver's
        super().__init__(**options)
        self.ssl_context = context


def read(options: Mapping[str, Any]) -> dict[str, Any]:
    """What connections take beside `options` of a URL. Raises SettingsError where a file is missing or does not fit."""
    for name in FILES:
        if name in options and not Path(options[name]).exists():
            raise SettingsError(
                f"REDIS_URL has {name} {options[name]!r}, which is not there: expected a path that can be read"
            )
    try:
        context = SSLConnection(**options).ssl_context
        context.get()
    except OSError as error:  # OSError includes ssl.SSLError
        given = ", ".join(name for name in OPTIONS if name in options)
        raise SettingsError(
            f"REDIS_URL has options of TLS that do not work ({type(error).__name__}), {given}: expected certificates "
            "and keys in PEM files"
        ) from None
    return {"connection_class": TlsConnection, "context": context}
