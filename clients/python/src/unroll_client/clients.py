"""The synchronous and the asynchronous client."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self, Unpack

import httpx

from unroll_client import client_flows, opening_flows
from unroll_client.answers import Generation
from unroll_client.client_state import ClientState, headers_of
from unroll_client.flow import awaiting, blocking
from unroll_client.generations import from_text
from unroll_client.inputs import GenerateOptions, Input, Vector, with_vector
from unroll_client.pool import AsyncSessionPool, SessionPool
from unroll_client.retry import RetryPolicy
from unroll_client.sessions import AsyncSession, Session
from unroll_client.token_stream import AsyncTokenStream, TokenStream
from unroll_client.transport import LIMITS, Http

DEFAULT_URL = "http://localhost:8000"
Timeout = float | httpx.Timeout | None


class Client(ClientState[Session]):
    """A client of an Unroll service that blocks. Threads may share it; each session belongs to one thread at a time.

    Args:
        base_url: the address of the service.
        api_key: the API key, if the service requires one.
        timeout: seconds to wait for the connection and for each answer.
        retry: how often and for how long requests are repeated.
        ssl_context: the certificates to trust, if they are not the usual ones.
        http_client: the httpx client to use, for proxies and the like. Its `base_url` and `timeout` are replaced.
    """

    session_class = Session

    models = blocking(client_flows.models)
    model = blocking(client_flows.model)
    model_card = blocking(client_flows.model_card)
    predict = blocking(client_flows.predict)
    predict_many = blocking(client_flows.predict_many)
    translate = blocking(client_flows.translate)
    forecast = blocking(client_flows.forecast)
    score = blocking(client_flows.score)
    score_many = blocking(client_flows.score_many)
    generate = blocking(client_flows.generate)
    list_sessions = blocking(client_flows.list_sessions)
    create_session = blocking(opening_flows.create_session)
    import_state = blocking(opening_flows.import_state)
    session = blocking(opening_flows.session)
    resume = blocking(opening_flows.resume)

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: Timeout = 30.0,
        retry: RetryPolicy | None = None,
        ssl_context: ssl.SSLContext | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._http = http_client or httpx.Client(limits=LIMITS, verify=ssl_context or True)
        self._http.base_url, self._http.timeout = base_url, timeout
        self._http.headers.update(headers_of(api_key))
        super().__init__(Http(sync=self._http, ssl_context=ssl_context), retry)

    def generate_stream(
        self,
        model: str,
        input: "Input | None" = None,  # noqa: A002
        *,
        vector: "Vector | None" = None,
        version: str | None = None,
        **options: Unpack[GenerateOptions],
    ) -> TokenStream[Generation]:
        """Continue a text, token by token. `vector` is what a text of a conditioned model begins with."""
        return TokenStream(from_text(self.service, model, with_vector(input, vector), version, options))

    def pool(self, sessions: "Mapping[str, Session] | None" = None) -> SessionPool:
        """Return a pool of sessions, by names of your own, that advance by one request."""
        return SessionPool(self.service, sessions or {})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(ClientState[AsyncSession]):
    """A client of an Unroll service for asyncio. Its arguments are those of `Client`."""

    session_class = AsyncSession

    models = awaiting(client_flows.models)
    model = awaiting(client_flows.model)
    model_card = awaiting(client_flows.model_card)
    predict = awaiting(client_flows.predict)
    predict_many = awaiting(client_flows.predict_many)
    translate = awaiting(client_flows.translate)
    forecast = awaiting(client_flows.forecast)
    score = awaiting(client_flows.score)
    score_many = awaiting(client_flows.score_many)
    generate = awaiting(client_flows.generate)
    list_sessions = awaiting(client_flows.list_sessions)
    create_session = awaiting(opening_flows.create_session)
    import_state = awaiting(opening_flows.import_state)
    session = awaiting(opening_flows.session)
    resume = awaiting(opening_flows.resume)

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: Timeout = 30.0,
        retry: RetryPolicy | None = None,
        ssl_context: ssl.SSLContext | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._http = http_client or httpx.AsyncClient(limits=LIMITS, verify=ssl_context or True)
        self._http.base_url, self._http.timeout = base_url, timeout
        self._http.headers.update(headers_of(api_key))
        super().__init__(Http(asynchronous=self._http, ssl_context=ssl_context), retry)

    def generate_stream(
        self,
        model: str,
        input: "Input | None" = None,  # noqa: A002
        *,
        vector: "Vector | None" = None,
        version: str | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncTokenStream[Generation]:
        """Continue a text, token by token. `vector` is what a text of a conditioned model begins with."""
        return AsyncTokenStream(from_text(self.service, model, with_vector(input, vector), version, options))

    def pool(self, sessions: "Mapping[str, AsyncSession] | None" = None) -> AsyncSessionPool:
        """Return a pool of sessions, by names of your own, that advance by one request."""
        return AsyncSessionPool(self.service, sessions or {})

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
