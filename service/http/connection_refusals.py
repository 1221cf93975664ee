"""Responses to requests that their connection refuses, so that they never reach the application."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Protocol, TypeAlias

from service.application.ports import RequestObserver
from service.domain.errors import InvalidRequest, UnrollError
from service.http import errors
from service.http.middleware import access_log
from service.http.middleware.access_log import AccessLog
from service.http.middleware.headers import request_id
from service.http.middleware.response_headers import DATA_HEADERS

Header: TypeAlias = tuple[bytes, bytes]


class Refused(Protocol):
    """A refusal: its error, and the reason that counts it."""

    error: UnrollError
    reason: str


class ConnectionRefusals:
    """Renders, counts and logs refusals of connections."""

    def __init__(self, observer: RequestObserver, access_log: AccessLog) -> None:
        self._observer = observer
        self._access_log: AccessLog = access_log

    def response(
        self, refused: Refused, path: bytes, headers: Sequence[Header], own_headers: Iterable[Header]
    ) -> tuple[bytes, bytes]:
        """Return head and body of the response to a refused request."""
        identity = request_id({name: value for name, value in headers if name == b"x-request-id"})
        response = errors.error_response(refused.error, {"path": path.decode("latin-1").partition("?")[0]})
        # What cannot be read as HTTP is a bad request; 422 is the status of requests that were read.
        status = HTTPStatus.BAD_REQUEST if type(refused.error) is InvalidRequest else HTTPStatus(response.status_code)
        access_log.report_refusal(self._observer, refused.error.code, status, identity, self._access_log)
        self._observer.shed(refused.reason)
        lines = [
            *own_headers,
            *response.raw_headers,
            *DATA_HEADERS,
            (b"x-request-id", identity),
            (b"connection", b"close"),
        ]
        start = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        head = start + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n"
        return head, bytes(response.body)

    def count(self, reason: str) -> None:
        """Count a refusal that the client is not told of."""
        self._observer.shed(reason)
