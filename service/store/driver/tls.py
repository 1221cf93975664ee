"""TLS options of REDIS_URL, read once at start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio.connection import RedisSSLContext, SSLConnection

from service.domain.errors import SettingsError

#: The options whose values are paths, and all options.
FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
OPTIONS = (*FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers")


class TlsConnection(SSLConnection):
    """TLS connection with a shared `context`.

    The driver makes a context for every connection and reads all certificates of the system each time, which blocks
    the worker for tens of milliseconds.
    """

    def __init__(self, *, context: RedisSSLContext, **options: Any) -> None:  # noqa: ANN401 - the driver's
        super().__init__(**options)
        self.ssl_context = context


def read(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connection arguments for the TLS `options` of a URL. Raises SettingsError for unusable files."""
    for name in FILES:
        if name in options and not Path(options[name]).exists():
            raise SettingsError(
                f"REDIS_URL has {name} {options[name]!r}, which is not there: expected a path that can be read"
            )
    try:
        context = SSLConnection(**options).ssl_context
        context.get()
    except OSError as error:  # OSError includes ssl.SSLError
        names = ", ".join(name for name in OPTIONS if name in options)
        raise SettingsError(
            f"REDIS_URL has options of TLS that do not work ({type(error).__name__}), {names}: expected certificates "
            "and keys in PEM files"
        ) from None
    return {"connection_class": TlsConnection, "context": context}
