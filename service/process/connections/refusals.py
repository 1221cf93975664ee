"""Refusals of what a client sends before it is a request, and the reasons under which they are counted."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import httptools

from service.domain.errors import DeadlineExceeded, InvalidJson, InvalidRequest, Overloaded, UnrollError
from service.process.connections.headers import Header

#: Labels of the metric `unroll_shed_total`.
MALFORMED = "malformed_request"
HEADER_TOO_LARGE = "header_too_large"
HEADER_TIMEOUT = "header_timeout"
CONNECTIONS = "connections"
UNREAD = "unread_answer"
UNANSWERED_PING = "unanswered_ping"
PIPELINED = "pipelined_requests"
TLS_HANDSHAKE = "tls_handshake"


class Refused(Exception):
    """A request is refused before, or while, the application receives it."""

    def __init__(self, error: UnrollError, reason: str = MALFORMED) -> None:
        super().__init__(error.message)
        self.error = error
        self.reason = reason


class Refusals(Protocol):
    """Renderer and counter of refusals; `service/http/connection_refusals.py` implements it."""

    def response(
        self, refused: Refused, path: bytes, headers: Sequence[Header], own_headers: Iterable[Header]
    ) -> tuple[bytes, bytes]:
        """Return head and body of the response to a refused request, and count and log it.

        `path` and `headers` are the request's as far as they were read; `own_headers` are added to the response.
        """

    def count(self, reason: str) -> None:
        """Count a refusal that the client is not told of."""


def of_parser(error: httptools.HttpParserError, *, in_head: bool) -> Refused:
    """Return the refusal of what the parser could not read; errors of its callbacks are those of this package."""
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause
    reason = str(error if cause is None else cause)[:200]
    if in_head:
        return Refused(
            InvalidRequest(f"the request is not HTTP/1.1: {reason}: expected a head and a body as RFC 9112 has them")
        )
    return Refused(
        InvalidJson(f"the body cannot be read: {reason}: expected Content-Length bytes, or chunks as RFC 9112 has them")
    )


def header_bytes(limit: int) -> Refused:
    """Return the refusal of a head that is too long."""
    return Refused(
        InvalidRequest(f"request line and headers have more than {limit} bytes: expected at most {limit}"),
        HEADER_TOO_LARGE,
    )


def header_lines(limit: int) -> Refused:
    """Return the refusal of a head with too many lines."""
    return Refused(
        InvalidRequest(f"the request has more than {limit} headers: expected at most {limit}"), HEADER_TOO_LARGE
    )


def header_time(seconds: float) -> Refused:
    """Return the refusal of a head that takes too long."""
    return Refused(
        DeadlineExceeded(f"request line and headers were not complete after {seconds:g} s: send them at once"),
        HEADER_TIMEOUT,
    )


def framing() -> Refused:
    """Return the refusal of a body whose chunks have more sizes, extensions and trailers than content."""
    return Refused(
        InvalidJson("the body has too many chunk extensions or trailers: expected chunks of content"), HEADER_TOO_LARGE
    )


def version(found: str) -> Refused:
    """Return the refusal of another version of HTTP."""
    return Refused(InvalidRequest(f"the version of HTTP is {found}: expected 1.1 or 1.0"))


def plain_http() -> Refused:
    """Return the refusal of a request without TLS on a port with TLS."""
    return Refused(
        InvalidRequest("the request came without TLS: expected https:// and TLS 1.2 or later"), TLS_HANDSHAKE
    )


def upgrade() -> Refused:
    """Return the refusal of a body behind which another protocol is to follow."""
    return Refused(InvalidRequest("the request has a body and the header Upgrade: expected it without Upgrade"))


def behind_chunks() -> Refused:
    """Return the refusal of a request that was sent behind a chunked one, before that was answered."""
    return Refused(InvalidRequest("a request was sent behind one with chunks: expected it after the answer"), PIPELINED)


def connections() -> Refused:
    """Return the refusal of a connection beyond the limits."""
    return Refused(
        Overloaded("this worker, or this client's address, has as many connections as are allowed", applied="no"),
        CONNECTIONS,
    )
