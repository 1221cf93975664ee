"""The client's side of a session: its step count, and the requests that have no answer yet."""

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from unroll_client.answers import SessionInfo
from unroll_client.commands import WriteFile
from unroll_client.errors import (
    Gone,
    InvalidRequest,
    RequestPending,
    SessionNotFound,
    StepConflict,
    UnrollError,
)
from unroll_client.flow import Flow, execute
from unroll_client.pending import Advance, Kind, PendingRequest
from unroll_client.retry import Attempts, Service

#: Errors after which a request will never take effect, whatever became of earlier attempts at it.
FINAL = (StepConflict, Gone, SessionNotFound, InvalidRequest)


class SessionState:
    """Base class of sessions.

    Attributes:
        id: the id of the session.
        model: the name of its model.
        step_count: the number of steps that the session has accepted, as far as this client knows.
        timesteps: the number of tokens or observations fed to it; None until the first answer after `resume`.
        requests: the requests that have no answer yet, in order. Only a stream of steps has several.
        recovered: the answers to the requests that were pending when the session was saved, as far as they still exist.
    """

    def __init__(self, service: Service, session_id: str, model: str, step_count: int, save_to: Path | None) -> None:
        self.service = service
        self.id = session_id
        self.model = model
        self.step_count = step_count
        self.timesteps: int | None = None
        self.requests: deque[PendingRequest] = deque()
        self.recovered: list[Advance] = []
        self._save_to = save_to
        self._lock = threading.Lock()

    @classmethod
    def of(cls, service: Service, info: SessionInfo, save_to: Path | None = None) -> Self:
        """Return a session that the service described."""
        session = cls(service, info.id, info.model, info.step, save_to)
        session.timesteps = info.timesteps
        return session

    @classmethod
    def load(cls, service: Service, saved: Mapping[str, Any], save_to: Path | None) -> Self:
        """Return a session from what `save()` returned. Raises ValueError."""
        fields = [saved.get("id"), saved.get("model"), saved.get("step")]
        if [type(value) for value in fields] != [str, str, int]:
            raise ValueError(f"the saved session is {saved!r:.200}: expected id, model and step")
        session = cls(service, saved["id"], saved["model"], saved["step"], save_to)
        session.requests.extend(PendingRequest.from_json(item) for item in saved.get("pending") or ())
        return session

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.model} at step {self.step_count}>"

    @property
    def path(self) -> str:
        """The path of the session."""
        return f"/v1/sessions/{self.id}"

    @property
    def pending(self) -> PendingRequest | None:
        """The first request whose outcome is unknown, or None."""
        return self.requests[0] if self.requests else None

    def save(self) -> dict[str, Any]:
        """Return what `resume` needs, as a small JSON object: id, model, step count and the pending requests."""
        pending = [request.to_json() for request in self.requests]
        return {"id": self.id, "model": self.model, "step": self.step_count, "pending": pending}

    def autosave(self) -> Flow[None]:
        """Write the saved session to its file, if it has one."""
        if self._save_to is not None:
            yield from execute(WriteFile(self._save_to, json.dumps(self.save(), allow_nan=False).encode()))

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Allow one request at a time. Raises RequestPending."""
        if not self._lock.acquire(blocking=False):
            raise RequestPending(f"{self!r} has another request under way: expected one at a time", applied="no")
        try:
            yield
        finally:
            self._lock.release()

    def begin(self, kind: Kind, body: dict[str, Any]) -> PendingRequest:
        """Return the request to send: the pending one if it is the same.

        Raises RequestPending if another one is pending, ValueError or TypeError if the body cannot be sent as JSON.
        """
        request = PendingRequest(kind, body)
        if not self.requests:
            self.requests.append(request)
        if [(item.kind, item.content) for item in self.requests] != [(kind, request.content)]:
            self.require_no_request()
        return self.requests[0]

    def require_no_request(self) -> None:
        """Raise RequestPending if there is a pending request."""
        if self.requests:
            raise RequestPending(
                f"{self!r} has a pending request: expected the same again, recover() or resync()", applied="no"
            )

    def attempts(self, pending: PendingRequest) -> Attempts:
        """Return the count of attempts at a request. It is in doubt from here on, if its sending is interrupted."""
        attempts = Attempts(self.service.retry, in_doubt=pending.in_doubt)
        pending.in_doubt = True
        return attempts

    def succeed(self, answer: Advance) -> None:
        """Note the answer to the first request."""
        self.step_count, self.timesteps = answer.step, answer.timesteps
        self.requests.popleft()

    def skip(self) -> None:
        """Note that the first request was applied, and that its answer does not exist any more."""
        self.step_count, self.timesteps = self.step_count + 1, None
        self.requests.popleft()

    def fail(self, error: UnrollError, attempts: Attempts) -> Flow[None]:
        """Note that the attempts at the first request ended with an error, and complete its `applied`.

        If the request had no effect, it is forgotten, and with it those behind it: they expect the step that it made.
        """
        if attempts.in_doubt and not (isinstance(error, FINAL) and error.code is not None):
            error.applied = "yes" if error.applied == "yes" else "unknown"
            return
        error.applied = error.applied or "no"
        self.requests.clear()
        yield from self.autosave()

    def resynchronise(self, info: SessionInfo) -> Flow[None]:
        """Take over the step count of the service, and forget all requests."""
        self.step_count, self.timesteps = info.step, info.timesteps
        self.requests.clear()
        yield from self.autosave()
