"""What a client consists of: the service, and the class of its sessions."""

from pathlib import Path
from typing import Generic, TypeVar

import httpx

from unroll_client.answers import SessionInfo
from unroll_client.retry import RetryPolicy, Service
from unroll_client.session_state import SessionState
from unroll_client.transport import Http

SessionT = TypeVar("SessionT", bound=SessionState)


class ClientState(Generic[SessionT]):
    """Base class of the clients."""

    session_class: type[SessionT]

    def __init__(self, http: Http, retry: RetryPolicy | None) -> None:
        self.service = Service(http, retry or RetryPolicy())

    def open(self, info: SessionInfo, save_to: Path | None = None) -> SessionT:
        """Return a session that the service described."""
        return self.session_class.of(self.service, info, save_to)


def headers_of(api_key: str | None) -> httpx.Headers:
    """Return the headers of all requests."""
    from unroll_client import __version__  # noqa: PLC0415 - imports this module

    headers = httpx.Headers({"User-Agent": f"unroll-client/{__version__}"})
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return headers
