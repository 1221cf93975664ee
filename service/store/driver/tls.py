"""TLS options of REDIS_URL, read once at start."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

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

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {name: value for name, value in super()._connection_arguments().items() if name != "ssl"}

    async def _connect(self) -> None:
        """Connect, then encrypt the connection.

        If asyncio does both, it closes a connection that is cancelled at the end of its set-up by the closing handshake
        of TLS, for which nobody can wait.
        """
        await super()._connect()  # type: ignore[no-untyped-call]
        writer = cast("asyncio.StreamWriter", self._writer)
        try:
            async with asyncio.timeout(self.socket_connect_timeout):
                await writer.start_tls(self.ssl_context.get(), server_hostname=self.host)
        except BaseException:
            self._reader = self._writer = None
            writer.transport.abort()
            raise

    async def disconnect(self, nowait: bool = False, *details: Any, **named_details: Any) -> None:  # noqa: ANN401 - the driver's
        """Close the connection. `nowait` closes it at once, without the closing handshake of TLS.

        That handshake waits for the server up to half a minute, while nobody waits for it any more.
        """
        if nowait and self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait, *details, **named_details)


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
