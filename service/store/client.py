"""The driver's client for a URL, with every wait bounded and nothing sent twice."""

from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.errors import SettingsError

_SCHEMES = ("redis", "rediss", "unix")


def make_client(url: str, timeout: float = 2.0, connections: int = 32) -> Redis:
    """A client of the server at `url`: redis://, rediss:// or unix://, with user, password and `db` as it has them.

    Each wait of a connection ends after `timeout` seconds; callers beyond `connections` wait for a free one. Raises
    SettingsError, which never repeats the URL: it may hold a password.
    """
    scheme = urlsplit(url).scheme
    if scheme not in _SCHEMES:
        later = ", Sentinel and Cluster are not supported yet" if "sentinel" in scheme or "cluster" in scheme else ""
        raise SettingsError(f"REDIS_URL has the scheme {scheme!r}, expected one of {', '.join(_SCHEMES)}{later}")
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # The store knows which commands can be sent again, the driver does not.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except (ValueError, TypeError) as error:
        raise SettingsError(f"REDIS_URL cannot be read ({type(error).__name__}), expected {scheme}://...") from None
    return Redis.from_pool(pool)
