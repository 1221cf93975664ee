"""The judge: replays a session's journal offline and tells every promise that was broken.

A session is a fold, so its journal decides everything: the words of the acknowledged steps, in the order that their
answers told, give the state that each answer must show. What was answered 503 `no` is never in it, what was abandoned
is in it only if the service said so, and what a rollback of the store may have undone must be told before the next
step.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.http1 import Reply
from tests.chaos.journal import Event, Part, Request, Session
from tests.chaos.replay import Network
from tests.chaos.risks import Risks


class Violation(Exception):
    """A broken promise, in one sentence."""


class Undecided(Exception):
    """Requests at once whose order nothing tells any more."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A step in the log: its request, when it was acknowledged (None: only told of), its answer, the state after."""

    request: Request
    at: float | None
    body: bytes
    state: Any


@dataclass(slots=True)
class Replay:
    """Goes through one session's journal."""

    session: Session
    network: Network
    risks: Risks
    log: list[Applied] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _pending: Request | None = None
    _renewed: float = 0.0
    _deleted: float | None = None

    def verdict(self) -> list[str]:
        """Every violation; the replay ends with the first, for all behind it would follow from it."""
        self._renewed = self.session.sent
        for number, event in enumerate(self.session.events):
            try:
                if not self._take(event):
                    break
            except Undecided:
                self._leave(number)
                break
            except Violation as violation:
                if self._shaken(event):
                    self._leave(number)
                    break
                return [self._told(str(violation), number)]
        return []

    def _told(self, what: str, number: int) -> str:
        session = self.session
        head = f"{what}; session {session.id} of client {session.client} ({session.model}, {session.durability})"
        return "\n    ".join([head, *session.excerpt(number)])

    def _shaken(self, event: Event) -> bool:
        """Whether requests ran at once while the store rolled back: which came first, cannot be told any more."""
        return len(event.parts) > 1 and self.risks.shaken(self.session.durability, event.sent, event.at)

    def _leave(self, number: int) -> None:
        """Count what is behind an event that cannot be judged."""
        rest = [part for event in self.session.events[number:] for part in event.parts if event.kind != "look"]
        self.counts["sessions not followed further: the order of requests at once was lost"] += 1
        self.counts["steps not verified for that"] += sum(part.reply.status == 200 for part in rest)

    @property
    def _at(self) -> int:
        return len(self.log)

    @property
    def _state(self) -> Any:
        return self.log[-1].state if self.log else self.network.start

    def _take(self, event: Event) -> bool:
        """Judge one event; False when the session is over."""
        if event.kind == "abandoned":
            self._pending = event.parts[0].request
            return True
        for part in event.parts:
            if part.reply.status not in {200, 204, 409, 503}:
                self._end(event, part)
                return False
        if event.kind == "group":
            self._group(event)
        elif event.kind in {"look", "get"}:
            self._looked(event.parts[0])
        elif event.kind == "delete":
            self._deleted = event.at
        else:
            self._stepped(event)
        return True

    def _stepped(self, event: Event) -> None:
        part = event.parts[0]
        if len(event.parts) == 2:
            self._twins(*event.parts)
        if part.reply.status == 200:
            self._acknowledged(part)
        elif part.reply.status == 409:
            self._conflict(part)
        elif not part.refused:
            raise Violation("a request was never answered for good")

    def _twins(self, one: Part, other: Part) -> None:
        replies = [one.reply, other.reply]
        if {reply.status for reply in replies} == {200}:
            if one.reply.body != other.reply.body:
                raise Violation("a repeated request was answered differently")
            # Of an answer that got lost, both of those that came may be repetitions.
            if not any(reply.replayed for reply in replies):
                raise Violation("a request that was sent twice was applied twice")
        elif len({reply.status for reply in replies}) > 1:
            raise Violation("a request that was sent twice was answered in two ways")

    def _acknowledged(self, part: Part) -> None:
        body = part.reply.json
        step, request = body["step"], part.request
        if request.step is not None and step != request.step + 1:
            raise Violation(f"the answer tells step {step}, the request expected {request.step}")
        if step <= self._at and self.log[step - 1].request == request and part.reply.replayed:
            self._same_again(step, part)
            return
        if step != self._at + 1:
            self._rolled_back(step - 1, part.at)
        self._append(part, body)

    def _append(self, part: Part, body: dict[str, Any]) -> None:
        state = self.network.after(self._state, part.request.words)
        self.log.append(Applied(part.request, part.at, part.reply.body, state))
        self._renewed = part.sent
        self._pending = None
        self.counts["steps"] += 1
        self._shows(body)

    def _same_again(self, step: int, part: Part) -> None:
        self.counts["replays"] += 1
        if step < self._at:
            self._rolled_back(step, part.at)
        if part.reply.body != self.log[step - 1].body and not self._risky(self.log[step - 1].at, part.at):
            raise Violation("a repeated request was answered differently")

    def _shows(self, body: dict[str, Any]) -> None:
        """Whether an answer tells of the session as the log has it."""
        words = sum(len(one.request.words) for one in self.log)
        wrong = self.network.differs(self._state, body["output"]) if "output" in body else None
        if body.get("id", body.get("session_id")) != self.session.id or body["model"] != self.session.model:
            wrong = "the answer is another session's"
        if body["timesteps"] != words:
            wrong = f"the answer tells {body['timesteps']} timesteps, expected {words}"
        if wrong:
            raise Violation(f"at step {self._at}, {wrong}")

    def _looked(self, part: Part) -> None:
        if part.reply.status != 200:
            raise Violation("a look was never answered for good")
        if self._deleted is not None and not self._risky(self._deleted, part.at):
            raise Violation("a session that was ended answers")
        body = part.reply.json
        self._stands_at(body["step"], part)
        self._shows(body)

    def _conflict(self, part: Part) -> None:
        """The request did not apply, now: the session stands elsewhere, or has moved on."""
        told, request, error = part.reply.error["step"], part.request, part.reply.error
        before = self._at
        self._stands_at(told, part)
        if self._at == before and request.step == before and error["applied"] != "yes":
            raise Violation("a step was refused that the session stands at")
        if error["applied"] == "no" and any(one.request == request for one in self.log):
            raise Violation("a step was reported as `no` and is applied")

    def _stands_at(self, told: int, part: Part) -> None:
        """Believe where the session stands, if that can be."""
        if told == self._at + 1 and self._pending is not None:
            self.log.append(Applied(self._pending, None, b"", self.network.after(self._state, self._pending.words)))
            self.counts["abandoned and applied"] += 1
            self._renewed = part.sent
        elif told != self._at:
            self._rolled_back(told, part.at)
        self._pending = None

    def _rolled_back(self, step: int, seen: float) -> None:
        """Go back to `step`, if what is lost by that may be lost."""
        if step > self._at:
            raise Violation(f"the session is at step {step}, only {self._at} were ever answered")
        for lost in self.log[step:]:
            if not self._risky(lost.at, seen):
                raise Violation(f"acknowledged steps are lost: the session is at {step}, {self._at} were answered")
        self.counts["steps rolled back, and told"] += self._at - step
        del self.log[step:]

    def _risky(self, at: float | None, seen: float) -> bool:
        return at is None or self.risks.may_lose(self.session.durability, at, seen)

    def _group(self, event: Event) -> None:
        """Requests at once. One whose answer got lost may have been overtaken: 409 `yes`, and its place is the gap."""
        placed = {part.reply.json["step"]: part for part in event.parts if part.reply.status == 200}
        rest = [part for part in event.parts if part.reply.status != 200]
        if any(part.reply.error.get("applied") != "yes" or part.reply.status != 409 for part in rest):
            raise Violation("requests at once: one was not answered for good")
        first = min([*placed, self._at + 1])
        gaps = [step for step in range(first, first + len(event.parts)) if step not in placed]
        if len(gaps) != len(rest):
            raise Violation("requests at once: their answers tell no order")
        if len(rest) > 1:
            raise Undecided
        placed |= dict(zip(gaps, rest, strict=True))
        for step in sorted(placed):
            part = placed[step]
            if part.reply.status == 200:
                self._acknowledged(part)
            else:
                self._overtaken(part)

    def _overtaken(self, part: Part) -> None:
        """A step that was applied, by the word of a later conflict; its answer was never seen."""
        self.log.append(Applied(part.request, part.at, b"", self.network.after(self._state, part.request.words)))
        self.counts["overtaken and applied"] += 1

    def _end(self, event: Event, part: Part) -> None:
        """The session is over, or something failed: is that what had to come?"""
        reply, code = part.reply, part.reply.error.get("code")
        if not self._may_end(code, event, part, reply):
            raise Violation(f"the answer is {reply.status} {code}")
        self.counts[f"ended: {code}"] += 1

    def _may_end(self, code: str | None, event: Event, part: Part, reply: Reply) -> bool:
        session = self.session
        if code == "session_expired":
            expired = part.at >= self._renewed + session.ttl - 0.1
            return expired or self.risks.may_lose(session.durability, session.at, part.at)
        if code == "session_ended":
            return event.kind == "delete" or any(one.kind == "delete" for one in session.events)
        if code == "model_version_gone":
            return session.model == "swapped" and self.risks.swapped(session.sent, part.at)
        return False
