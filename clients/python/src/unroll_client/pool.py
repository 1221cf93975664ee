"""Pools of sessions that advance by one request, such as the sessions of a fleet of sensors."""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack
from typing import Any, Unpack, cast

from unroll_client.answers import StepResult
from unroll_client.batches import Item, complete
from unroll_client.client_state import SessionT
from unroll_client.errors import RequestPending, UnrollError
from unroll_client.flow import Flow, awaiting, blocking
from unroll_client.inputs import Input, PredictOptions, to_input, to_options
from unroll_client.pending import PendingRequest
from unroll_client.pool_stream import AsyncPoolStream, PoolStream
from unroll_client.retry import Service
from unroll_client.session_state import SessionState
from unroll_client.sessions import AsyncSession, Session

Results = dict[str, StepResult | UnrollError]


class PoolState(MutableMapping[str, SessionT]):
    """Base class of pools: a mapping of sessions by names of your own."""

    def __init__(self, service: Service, sessions: Mapping[str, SessionT]) -> None:
        self.service = service
        self._sessions = dict(sessions)

    def __getitem__(self, name: str) -> SessionT:
        return self._sessions[name]

    def __setitem__(self, name: str, session: SessionT) -> None:
        self._sessions[name] = session

    def __delitem__(self, name: str) -> None:
        del self._sessions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sessions)

    def __len__(self) -> int:
        return len(self._sessions)


def step(pool: PoolState[Any], inputs: "Mapping[str, Input]", **options: Unpack[PredictOptions]) -> Flow[Results]:
    """Feed input to the sessions of these names, and return the result or the error of each.

    Each step is applied exactly once, as that of a single session. Only the steps that failed for a while are sent
    again. Those that are in doubt at the end are completed by the same call again, or by `recover()`.
    """
    more = to_options(options)

    def begin(session: SessionState, name: str) -> PendingRequest:
        return session.begin("steps", {"input": to_input(inputs[name]), "step": session.step_count, **more})

    return (yield from _advance(pool, {name: pool[name] for name in inputs}, begin))


def recover(pool: PoolState[Any]) -> Flow[Results]:
    """Complete the pending steps of all sessions, and return the last result or the error of each."""
    results: Results = {}
    while sessions := {name: session for name, session in pool.items() if _is_pending(session, results.get(name))}:
        results |= yield from _advance(pool, sessions, lambda session, _: session.pending)
    return results


def _is_pending(session: SessionState, result: StepResult | UnrollError | None) -> bool:
    """Return whether a session has a pending step, and none that has failed."""
    pending = session.pending
    return pending is not None and pending.kind == "steps" and not isinstance(result, UnrollError)


def _advance(pool: PoolState[Any], sessions: Mapping[str, SessionState], begin: Any) -> Flow[Results]:  # noqa: ANN401
    results: Results = {}
    with ExitStack() as held:
        items = []
        for name, session in sessions.items():
            try:
                held.enter_context(session.exclusive())
                items.append(Item(name, session, begin(session, name)))
            except RequestPending as error:
                results[name] = error
        # The answer of the last step of a session is never lost.
        results |= cast("Results", (yield from complete(pool.service, items)))
    return {name: results[name] for name in sessions}


class SessionPool(PoolState[Session]):
    """Sessions by names of your own, which advance by one request: `client.pool({"sensor-1": session, ...})`."""

    step = blocking(step)
    recover = blocking(recover)

    def stream(self, *, window: int = 64) -> PoolStream:
        """Step the sessions over one WebSocket, with up to `window` steps under way without an answer.

        While a session has steps under way, it makes no other request.
        """
        return PoolStream(self.service, self, window)


class AsyncSessionPool(PoolState[AsyncSession]):
    """Sessions by names of your own, which advance by one request: `client.pool({"sensor-1": session, ...})`."""

    step = awaiting(step)
    recover = awaiting(recover)

    def stream(self, *, window: int = 64) -> AsyncPoolStream:
        """Step the sessions over one WebSocket, with up to `window` steps under way without an answer.

        While a session has steps under way, it makes no other request.
        """
        return AsyncPoolStream(self.service, self, window)
