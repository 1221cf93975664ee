"""Sessions of the synchronous and of the asynchronous client."""

from types import TracebackType
from typing import Self, Unpack

from unroll_client import session_flows
from unroll_client.answers import StepResult
from unroll_client.flow import awaiting, blocking
from unroll_client.generations import from_session, preview_of_session
from unroll_client.inputs import GenerateOptions
from unroll_client.session_state import SessionState
from unroll_client.session_stream import AsyncSessionStream, SessionStream
from unroll_client.token_stream import AsyncTokenStream, TokenStream


class Session(SessionState):
    """A session of `Client`.

    In a `with` block, the session is deleted at the end; if an exception leaves the block, it is kept to be resumed.
    """

    step = blocking(session_flows.step)
    generate = blocking(session_flows.generate)
    reset = blocking(session_flows.reset)
    peek = blocking(session_flows.peek)
    fork = blocking(session_flows.fork)
    info = blocking(session_flows.info)
    renew = blocking(session_flows.renew)
    delete = blocking(session_flows.delete)
    export_state = blocking(session_flows.export_state)
    recover = blocking(session_flows.recover)
    resync = blocking(session_flows.resync)

    def generate_stream(self, *, commit: bool = True, **options: Unpack[GenerateOptions]) -> TokenStream[StepResult]:
        """Generate text from the session's state, token by token. With `commit` the session advances at the end.

        If the stream is left before its end, `resync()` or `recover()` has to follow. A broken stream is repeated with
        the same seed. If its tokens differ nevertheless, it raises StreamChanged, and `recover()` returns the answer.
        """
        generation = from_session(self, options) if commit else preview_of_session(self, options)
        return TokenStream(generation)

    def stream(self, *, window: int = 8) -> SessionStream:
        """Step the session over a WebSocket, with up to `window` steps under way without an answer (1 to 32).

        Until the stream is closed, the session makes no other request. Raises RequestPending.
        """
        return SessionStream(self, window)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.delete()


class AsyncSession(SessionState):
    """A session of `AsyncClient`.

    In an `async with` block, the session is deleted at the end; if an exception leaves the block, it is kept to be
    resumed.
    """

    step = awaiting(session_flows.step)
    generate = awaiting(session_flows.generate)
    reset = awaiting(session_flows.reset)
    peek = awaiting(session_flows.peek)
    fork = awaiting(session_flows.fork)
    info = awaiting(session_flows.info)
    renew = awaiting(session_flows.renew)
    delete = awaiting(session_flows.delete)
    export_state = awaiting(session_flows.export_state)
    recover = awaiting(session_flows.recover)
    resync = awaiting(session_flows.resync)

    def generate_stream(
        self, *, commit: bool = True, **options: Unpack[GenerateOptions]
    ) -> AsyncTokenStream[StepResult]:
        """Generate text from the session's state, token by token. With `commit` the session advances at the end.

        If the stream is left before its end, `resync()` or `recover()` has to follow. A broken stream is repeated with
        the same seed. If its tokens differ nevertheless, it raises StreamChanged, and `recover()` returns the answer.
        """
        generation = from_session(self, options) if commit else preview_of_session(self, options)
        return AsyncTokenStream(generation)

    def stream(self, *, window: int = 8) -> AsyncSessionStream:
        """Step the session over a WebSocket, with up to `window` steps under way without an answer (1 to 32).

        Until the stream is closed, the session makes no other request. Raises RequestPending.
        """
        return AsyncSessionStream(self, window)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.delete()
