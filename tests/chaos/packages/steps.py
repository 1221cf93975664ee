"""The journal of sessions that a client package steps: what it was told to do, and what it answered for good."""

import dataclasses
import json
import time
from dataclasses import dataclass, field
from typing import Any

from service.http.errors import STATUS
from tests.chaos.contents import Content, Reset
from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.journal import Attempt, Event, Kind, Part, Request, Session
from unroll_client import SessionInfo, StepResult, UnrollError

_STATUS_OF = {error.code: status for error, status in STATUS.items()}


def reply_of(answer: StepResult | SessionInfo | UnrollError) -> Reply:
    """The reply that a result or an error of the package stands for."""
    if not isinstance(answer, UnrollError):
        return Reply(200, json.dumps(dataclasses.asdict(answer), default=str).encode())
    status = answer.status or _STATUS_OF.get(answer.code or "") or (503 if answer.applied == "no" else 0)
    error = {"code": answer.code, "applied": answer.applied, "step": answer.step}
    return Reply(status, json.dumps({"error": error}).encode()) if status else NOTHING


@dataclass(slots=True)
class Steps:
    """Steps of one session under way, the first one at the step `base`."""

    session: Session
    base: int
    contents: list[Content]
    sent: float = field(default_factory=time.monotonic)
    failures: list[Attempt] = field(default_factory=list)
    failed: int = -1
    answers: dict[int, Attempt] = field(default_factory=dict)

    def fail(self, error: UnrollError | None, step: int) -> None:
        """Note that this step failed, or that its client died."""
        if step != self.failed:
            self.failed, self.failures = step, []
        reply = NOTHING if error is None else reply_of(error)
        self.failures.append(Attempt(self.sent, time.monotonic(), reply))

    def answer(self, answer: StepResult | SessionInfo) -> None:
        """Note an answer."""
        self.answers.setdefault(answer.step, Attempt(self.sent, time.monotonic(), reply_of(answer)))

    def settle(self, steps: int) -> None:
        """Write the journal, now that the session is at so many steps as far as its client knows.

        A step without an answer was applied if the session is further, and was not if it is not.
        """
        now = time.monotonic()
        if self.answers and isinstance(self.contents[0], Reset):
            self._reset(self.contents[0], now)
            return
        for number, content in enumerate(self.contents):
            step = self.base + number
            part = Part(Request(content, step, f"package {step}"))
            if step + 1 in self.answers:
                self._write("step", part, self.answers[step + 1])
            elif step < steps:
                self._write("unread", part, Attempt(self.sent, now, NOTHING))
            else:
                part.attempts = self.failures
                if step == self.failed and part.reply.status:
                    self.session.events.append(Event("step", [part]))
                return

    def _reset(self, content: Reset, now: float) -> None:
        """Write a reset that was answered. It knows no step, so the store may have rolled back before it.

        The package repeats it by itself: a copy may still be on its way.
        """
        (answer,) = self.answers.values()
        part = Part(Request(content, key=f"package {self.base}"), [Attempt(self.sent, now, NOTHING)])
        self._write("step", part, answer)

    def _write(self, kind: Kind, part: Part, attempt: Attempt) -> None:
        part.attempts.append(attempt)
        self.session.events.append(Event(kind, [part]))


def looked(session: Session, kind: Kind, sent: float, answer: Any) -> None:
    """Write a look at a session down."""
    part = Part(Request(), [Attempt(sent, time.monotonic(), reply_of(answer))])
    session.events.append(Event(kind, [part]))
