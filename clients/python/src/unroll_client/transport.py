"""HTTP requests as commands, over httpx."""

import contextlib
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from unroll_client.error_answers import error_of
from unroll_client.errors import Applied, ConnectionFailed
from unroll_client.flow import Command

MAX_TIMEOUT_MS = 600_000
Params = Mapping[str, str | int]
#: Without a limit: httpx may close a connection over its limit that another thread has just been given.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
#: Failures before the request was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_TEMPORARY = (httpx.UnsupportedProtocol, httpx.TooManyRedirects)


def encode(body: object) -> bytes:
    """Return a body as JSON. Raises ValueError for NaN and infinite numbers, TypeError for what is no JSON."""
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the service. `body` is sent as JSON; `content` is sent as it is."""

    method: str
    path: str
    body: object = None
    content: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Params = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `httpx.Client.build_request`."""
        headers = dict(self.headers)
        content = encode(self.body) if self.body is not None else self.content
        if content is not None:
            headers["Content-Type"] = self.content_type
        return {
            "method": self.method,
            "url": self.path,
            "content": content,
            "headers": headers,
            "params": dict(self.params),
        }


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer of the service."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the body as JSON. Raises ConnectionFailed if it is none, as after a proxy cut it."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise ConnectionFailed("the answer is not JSON: expected a whole answer of the service") from None


@dataclass(frozen=True, slots=True)
class Http:
    """The HTTP clients of a client; one of them is there."""

    sync: httpx.Client | None = None
    asynchronous: httpx.AsyncClient | None = None
    ssl_context: ssl.SSLContext | None = None

    @property
    def blocking_client(self) -> httpx.Client:
        """The client of blocking requests."""
        assert self.sync is not None  # noqa: S101 - for mypy
        return self.sync

    @property
    def async_client(self) -> httpx.AsyncClient:
        """The client of asynchronous requests."""
        assert self.asynchronous is not None  # noqa: S101 - for mypy
        return self.asynchronous

    @property
    def any_client(self) -> httpx.Client | httpx.AsyncClient:
        """The client that is there, for what both have."""
        return self.sync or self.async_client


@dataclass(frozen=True, slots=True)
class Send(Command[Response]):
    """Send a request and read its whole answer. Raises UnrollError unless the answer is a success."""

    http: Http
    request: Request

    def run(self) -> Response:
        arguments = request_arguments(self.http, self.request)
        with transport_errors():
            return _success(self.http.blocking_client.request(**arguments))

    async def run_async(self) -> Response:
        arguments = request_arguments(self.http, self.request)
        with transport_errors():
            return _success(await self.http.async_client.request(**arguments))


def request_arguments(http: Http, request: Request) -> dict[str, Any]:
    """Return the arguments of a request, with the time after which the service may stop its work."""
    arguments = request.arguments()
    arguments["headers"] |= time_limit(http)
    return arguments


def time_limit(http: Http) -> dict[str, str]:
    """Return the header that tells how long the client waits for an answer."""
    seconds = http.any_client.timeout.read
    if seconds is None:
        return {}
    return {"X-Request-Timeout-Ms": str(min(max(1, int(seconds * 1000)), MAX_TIMEOUT_MS))}


def _success(answer: httpx.Response) -> Response:
    if not answer.is_success:
        raise error_of(answer.status_code, answer.headers, answer.content)
    return Response(answer.status_code, answer.headers, answer.content)


@contextlib.contextmanager
def transport_errors() -> Iterator[None]:
    """Raise the errors of httpx as ConnectionFailed."""
    try:
        yield
    except _NOT_TEMPORARY:
        raise
    except (httpx.RequestError, httpx.StreamError) as error:
        applied: Applied = "no" if isinstance(error, _NOT_SENT) else "unknown"
        description = str(error) or type(error).__name__
        raise ConnectionFailed(f"no whole answer from the service: {description}", applied=applied) from error
