"""Protection against web pages that use a visitor's browser to reach the service.

A service without API keys trusts whoever can connect to it, and a browser on the same machine can. A page of any web
site can send requests to it (cross-site requests), or give its own name the address of the service to read the answers
as well (DNS rebinding). The headers Host, Origin and Sec-Fetch-Site, which pages cannot forge, reveal both. Where API
keys are required such a page has none, and only the answers for allowed origins differ.
"""

from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from service.domain.errors import NotAllowed
from service.http.middleware.authorization.host_names import LOOPBACK_NAMES, is_loopback, matches, parse_authority
from service.http.middleware.headers import Headers
from service.http.middleware.response_headers import ResponseHeaders

#: Number of accepted Host headers that are remembered, so that they are parsed once.
MAX_KNOWN_HOSTS = 64
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
PREFLIGHT_SECONDS = 600
#: Headers of a response that a page of an allowed origin may read, beside those that any page may.
EXPOSED = b"Allow, Location, RateLimit, RateLimit-Policy, Retry-After, Unroll-Replayed, X-Request-Id"
PREFLIGHT_HEADERS: Final[ResponseHeaders] = (
    (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Idempotency-Key, X-Api-Key, X-Request-Id, X-Request-Timeout-Ms",
    ),
    (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
)


@dataclass(frozen=True, slots=True)
class BrowserSettings:
    """Which hosts and origins requests may name.

    `loopback_hosts` requires a loopback name of requests to a loopback address. `hosts` are further names; if there are
    any, all requests must have one of them or a loopback name. `same_origin` refuses pages of other origins than the
    service's own and `origins`, of which `*` is any.
    """

    loopback_hosts: bool = False
    same_origin: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class BrowserPolicy:
    """Checks which host a request names and which page it comes from."""

    def __init__(self, settings: BrowserSettings) -> None:
        self._settings = settings
        self._checks_host = "*" not in settings.hosts and (settings.loopback_hosts or bool(settings.hosts))
        self._known_hosts: set[bytes | None] = set()

    def check(self, scope: Scope, headers: Headers) -> None:
        """Check a request or the handshake of a WebSocket. Raises NotAllowed."""
        host = headers.get(b"host")
        if self._checks_host and (host not in self._known_hosts or len(headers) < len(scope["headers"])):
            self._check_host(scope, host)
        if self._settings.same_origin and (b"origin" in headers or b"sec-fetch-site" in headers):
            self._check_origin(scope, headers)

    def cors_headers(self, scope: Scope, headers: Headers) -> ResponseHeaders:
        """Return the headers that let a page of an allowed origin read the response, and send it in the first place."""
        origin = headers.get(b"origin")
        if origin is None or not self._settings.origins:
            return ()
        if not self._is_listed(origin):
            return ((b"vary", b"Origin"),)
        allowed = ((b"vary", b"Origin"), (b"access-control-allow-origin", origin))
        if is_preflight(scope, headers):
            return allowed + PREFLIGHT_HEADERS
        return (*allowed, (b"access-control-expose-headers", EXPOSED))

    def allows_preflight(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a request asks, on behalf of an allowed origin, if it may send another request."""
        return bool(self._settings.origins) and is_preflight(scope, headers) and self._is_listed(headers[b"origin"])

    def _check_host(self, scope: Scope, host: bytes | None) -> None:
        if not self._settings.hosts and not _is_reached_on_loopback(scope):
            return
        if sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise NotAllowed("the header Host is there more than once: expected it once", param="Host")
        authority = None if host is None else parse_authority(host)
        if authority is None or not (is_loopback(authority.host) or matches(authority.host, self._settings.hosts)):
            raise NotAllowed(f"the header Host is {_excerpt(host)}: expected {self._expected_hosts()}", param="Host")
        if len(self._known_hosts) < MAX_KNOWN_HOSTS:
            self._known_hosts.add(host)

    def _expected_hosts(self) -> str:
        names = ", ".join((*LOOPBACK_NAMES, *self._settings.hosts))
        return f"one of {names}, a loopback address, or a name that the operator adds to UNROLL_ALLOWED_HOSTS"

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get(b"origin")
        if origin is None:
            if headers[b"sec-fetch-site"].lower() == b"cross-site" and not _is_navigation(scope, headers):
                raise NotAllowed(
                    "the header Sec-Fetch-Site is 'cross-site': expected no page of another site, as this service "
                    "requires no API key",
                    param="Sec-Fetch-Site",
                )
        elif not (self._is_listed(origin) or _is_same_origin(origin, headers.get(b"host", b""))):
            raise NotAllowed(
                f"the header Origin is {_excerpt(origin)}: expected the origin of {_excerpt(headers.get(b'host'))}, "
                "or one that the operator adds to UNROLL_ALLOWED_ORIGINS, as this service requires no API key",
                param="Origin",
            )

    def _is_listed(self, origin: bytes) -> bool:
        return origin.decode("latin-1").lower() in self._settings.origins or "*" in self._settings.origins


def _is_reached_on_loopback(scope: Scope) -> bool:
    server = scope.get("server")
    return server is not None and is_loopback(server[0])


def is_preflight(scope: Scope, headers: Headers) -> bool:
    """Return whether a request is a browser's question whether a page may send another request."""
    return (
        scope["type"] == "http"
        and scope["method"] == "OPTIONS"
        and b"origin" in headers
        and b"access-control-request-method" in headers
    )


def _is_same_origin(origin: bytes, host: bytes) -> bool:
    """Return whether an origin has the host and port of a Host header. Its scheme is that of a proxy in front."""
    scheme, separator, rest = origin.partition(b"://")
    default = DEFAULT_PORTS.get(scheme.decode("latin-1").lower())
    page, server = parse_authority(rest), parse_authority(host)
    if not separator or default is None or page is None or server is None:
        return False
    return (page.host, page.port or default) == (server.host, server.port or default)


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """Return whether a request opens a page for people, such as /docs, from a link on another site."""
    path: str = scope["path"]
    return not path.startswith(("/v1", "/v2")) and headers.get(b"sec-fetch-dest") == b"document"


def _excerpt(value: bytes | None) -> str:
    return "missing" if value is None else repr(value.decode("latin-1")[:100])
