"""State of streams of steps of many sessions over one WebSocket."""

import copy
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from unroll_client.batches import Result
from unroll_client.errors import Applied, UnrollError
from unroll_client.pending import MAX_WINDOW
from unroll_client.retry import Attempts, Service
from unroll_client.session_state import SessionState
from unroll_client.sockets import Socket

NamedResult = tuple[str, Result]


@dataclass(slots=True)
class StreamedSession:
    """The steps under way of one session. Until they have ended, the session makes no other request.

    Attributes:
        sent: the number of requests that were sent over this connection and have no answer yet.
        failure: the error of the first request, while those behind it are being answered.
        attempts: the attempts at the first request, once one has failed.
        due: when the first request is sent again, by the monotonic clock.
        in_doubt: whether requests were sent over a connection that broke.
    """

    name: str
    session: SessionState
    sent: int = 0
    failure: UnrollError | None = None
    attempts: Attempts | None = None
    due: float | None = None
    in_doubt: bool = False
    held: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def of(cls, name: str, session: SessionState) -> "StreamedSession":
        """Return a session without steps under way. Raises RequestPending."""
        with ExitStack() as held:
            held.enter_context(session.exclusive())
            session.require_no_request()
            return cls(name, session, held=held.pop_all())

    @property
    def waits(self) -> bool:
        """Whether nothing may be sent now, because the first request has failed."""
        return self.failure is not None or self.due is not None

    def disconnect(self) -> None:
        """Note that the connection has ended."""
        self.in_doubt |= self.sent > 0
        self.sent, self.failure, self.due = 0, None, None

    def fail(self) -> tuple[UnrollError, float | None]:
        """Count the failure of the first request. Returns its error, and the seconds until the next attempt if any."""
        error, self.failure = self.failure, None
        assert error is not None  # noqa: S101 - for mypy
        self.attempts = self.attempts or Attempts(self.session.service.retry, in_doubt=self.in_doubt)
        self.attempts.fail(error)
        return error, self.attempts.delay(error)


class PoolStreamState:
    """Base class of streams of steps of many sessions: up to `window` steps are under way without an answer.

    A session whose step failed for a while repeats it after a pause, and the others go on meanwhile. If the connection
    breaks, the first step without an answer of each session is completed by one request, which tells where the sessions
    are. Then the stream connects again and repeats what is left.
    """

    def __init__(self, service: Service, sessions: Mapping[str, SessionState], window: int) -> None:
        if window < 1:
            raise ValueError(f"window is {window}: expected at least 1")
        self.window = window
        self._service = service
        self._sessions = sessions
        self._socket: Socket | None = None
        self._results: deque[NamedResult] = deque()
        self._unanswered = 0
        #: Sessions with steps under way, by id: all of them, those with steps to send, and those that pause.
        self._streamed: dict[str, StreamedSession] = {}
        self._ready: dict[str, StreamedSession] = {}
        self._paused: dict[str, StreamedSession] = {}
        #: Ids of sessions whose step failed for good: the service refuses what they send over this connection.
        self._refused: set[str] = set()

    @property
    def under_way(self) -> int:
        """The number of steps whose results were not received yet."""
        return len(self._results) + self._unanswered

    def _is_full(self, session: SessionState) -> bool:
        too_many = session.id in self._streamed and len(session.requests) >= MAX_WINDOW
        return too_many or self._unanswered >= self.window

    def _add(self, streamed: StreamedSession, result: Result) -> None:
        """Note the result of the first step of a session."""
        self._unanswered -= 1
        self._results.append((streamed.name, result))
        streamed.attempts = None
        if not streamed.session.requests:
            self._release(streamed)

    def _give_up(self, streamed: StreamedSession, error: UnrollError, steps: int) -> None:
        """Note the error of the first of these steps; those behind it were not applied, unless it is in doubt."""
        self._add(streamed, error)
        applied: Applied = "unknown" if streamed.session.requests else "no"
        for _ in range(steps - 1):
            self._add(streamed, copy.copy(error).with_applied(applied))
        self._release(streamed)
        self._refused.add(streamed.session.id)

    def _release(self, streamed: StreamedSession) -> None:
        streamed.held.close()
        for sessions in (self._streamed, self._ready, self._paused):
            sessions.pop(streamed.session.id, None)

    def _disconnect(self) -> Socket | None:
        """Return the socket to close. All steps without an answer are to be sent again."""
        socket, self._socket = self._socket, None
        self._refused.clear()
        self._paused.clear()
        self._ready = dict(self._streamed)
        for streamed in self._streamed.values():
            streamed.disconnect()
        return socket
