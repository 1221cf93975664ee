"""Requests that advance a session, and their repetition."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unroll_client.answers import SessionInfo, StepResult
from unroll_client.decoding import decode
from unroll_client.retry import unexpected
from unroll_client.transport import Request, Response, encode

Kind = Literal["steps", "generate", "reset"]
KINDS = ("steps", "generate", "reset")
Advance = StepResult | SessionInfo
#: The service remembers so many keys of a session, by which it recognises a repeated step.
MAX_WINDOW = 32


@dataclass(frozen=True, slots=True)
class AnswerLost:
    """Stands for the answer to a step that was applied, and followed by others, before the connection broke.

    The service keeps the answer of the last step only. With a window of 1, no answer is lost.
    """

    session_id: str
    step: int


def new_key() -> str:
    """Return an idempotency key that was never used."""
    return uuid.uuid4().hex


@dataclass(slots=True)
class PendingRequest:
    """A request that advances a session and has no answer yet. Repeating it is safe: it has a key of its own.

    `in_doubt` tells whether it may have taken effect.
    """

    kind: Kind
    body: dict[str, Any]
    key: str = field(default_factory=new_key)
    in_doubt: bool = False
    content: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.content = encode(self.body)

    @property
    def step(self) -> int | None:
        """The step count that the request expects; None for a reset."""
        return None if self.kind == "reset" else self.body["step"]

    def request(self, session_id: str) -> Request:
        """Return the HTTP request, the same each time."""
        path, headers = f"/v1/sessions/{session_id}/{self.kind}", {"Idempotency-Key": self.key}
        return Request("POST", path, content=self.content, headers=headers)

    def frame(self, session_id: str | None = None) -> str:
        """Return the request as a message of a WebSocket; one of many sessions needs the id."""
        session = {} if session_id is None else {"session_id": session_id}
        return encode({**session, **self.body, "idempotency_key": self.key}).decode()

    def parse(self, session_id: str, response: Response) -> Advance:
        """Return the answer. Raises ConnectionFailed if it belongs to another request."""
        return self.parse_json(session_id, response.json())

    def parse_json(self, session_id: str, body: object) -> Advance:
        """Return the answer given as JSON. Raises ConnectionFailed if it belongs to another request."""
        if self.step is None:
            info = decode(SessionInfo, body)
            if info.id != session_id:
                raise unexpected(f"session {info.id}, expected {session_id}")
            return info
        return self.parse_step(session_id, body)

    def parse_step(self, session_id: str, body: object) -> StepResult:
        """Return the answer to a step given as JSON. Raises ConnectionFailed if it belongs to another request."""
        assert self.step is not None  # noqa: S101 - for mypy
        result = decode(StepResult, body)
        if (result.session_id, result.step) != (session_id, self.step + 1):
            raise unexpected(f"step {result.step} of {result.session_id}, expected {self.step + 1} of {session_id}")
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON, for a saved session."""
        return {"kind": self.kind, "body": self.body, "key": self.key}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "PendingRequest":
        """Return a request of a saved session. Nobody knows whether it was sent. Raises ValueError."""
        kind, body, key = saved.get("kind"), saved.get("body"), saved.get("key")
        if kind not in KINDS or not isinstance(body, dict) or not isinstance(key, str):
            raise ValueError(f"the pending request is {saved!r:.200}: expected kind, body and key")
        if kind != "reset" and not isinstance(body.get("step"), int):
            raise ValueError(f"the pending request is {saved!r:.200}: expected a step in its body")
        return cls(kind, body, key, in_doubt=True)
