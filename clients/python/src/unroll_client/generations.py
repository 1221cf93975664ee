"""Streamed generations: from a text, and from the state of a session."""

import random
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from unroll_client.answers import Generation, StepResult
from unroll_client.decoding import decode
from unroll_client.errors import StepConflict, UnrollError
from unroll_client.flow import Flow
from unroll_client.pending import PendingRequest
from unroll_client.retry import Attempts, Service
from unroll_client.session_state import SessionState
from unroll_client.transport import Request

EVENTS = {"Accept": "text/event-stream"}


def seeded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with a seed: a repeated stream should have the same tokens."""
    return {"seed": random.getrandbits(31), **options}


@dataclass(slots=True)
class FreeGeneration:
    """A generation that changes nothing. `kind` is the class of its answer."""

    service: Service
    path: str
    body: dict[str, Any]
    kind: type[Any]

    def start(self) -> Flow[Attempts]:
        yield from ()
        return Attempts(self.service.retry)

    def request(self) -> Request:
        return Request("POST", self.path, self.body, headers=EVENTS)

    def succeed(self, body: object) -> Any:  # noqa: ANN401 - of class `kind`
        return decode(self.kind, body)

    def fail(self, error: UnrollError, attempts: Attempts) -> Flow[None]:  # noqa: ARG002 - a session's needs them
        yield from ()

    def end(self) -> None:
        pass


@dataclass(slots=True)
class SessionGeneration:
    """A generation that advances a session when it is done."""

    session: SessionState
    pending: PendingRequest
    service: Service = field(init=False)
    _held: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.service = self.session.service

    def start(self) -> Flow[Attempts]:
        yield from self.session.autosave()
        return self.session.attempts(self.pending)

    def request(self) -> Request:
        pending = self.pending.request(self.session.id)
        options = {**self.pending.body["options"], "stream": True}
        body = {**self.pending.body, "options": options}
        return Request("POST", pending.path, body, headers={**pending.headers, **EVENTS})

    def succeed(self, body: object) -> StepResult:
        answer = self.pending.parse_json(self.session.id, body)
        assert isinstance(answer, StepResult)  # noqa: S101 - for mypy
        self.session.succeed(answer)
        return answer

    def fail(self, error: UnrollError, attempts: Attempts) -> Flow[None]:
        """An error event that says `applied: "yes"` came after tokens of another attempt: the answer is still there."""
        if isinstance(error, StepConflict) and error.status is None and error.applied == "yes":
            return
        yield from self.session.fail(error, attempts)

    def end(self) -> None:
        self._held.close()


def from_text(
    service: Service,
    model: str,
    text: dict[str, Any],
    version: str | None,
    options: Mapping[str, Any],
) -> FreeGeneration:
    """Return the generation that continues a text, an input as JSON."""
    body: dict[str, Any] = {"input": text, "options": {**seeded(options), "stream": True}}
    if version is not None:
        body["version"] = version
    return FreeGeneration(service, f"/v1/models/{quote(model, safe='')}/generate", body, Generation)


def from_session(session: SessionState, options: Mapping[str, Any]) -> SessionGeneration:
    """Return the generation that continues a session and advances it. Raises RequestPending."""
    held = ExitStack()
    held.enter_context(session.exclusive())
    with held:
        known = {} if session.pending is None else session.pending.body.get("options", {})
        seed = {"seed": known["seed"]} if "seed" in known else {}
        pending = session.begin("generate", {"step": session.step_count, "options": seeded({**seed, **options})})
        return SessionGeneration(session, pending, held.pop_all())


def preview_of_session(session: SessionState, options: Mapping[str, Any]) -> FreeGeneration:
    """Return the generation that continues a session and does not advance it."""
    body = {"options": {**seeded(options), "stream": True}, "commit": False}
    return FreeGeneration(session.service, f"{session.path}/generate", body, StepResult)
