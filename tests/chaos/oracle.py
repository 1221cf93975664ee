"""The judge: replays a session's journal offline and tells every promise that was broken.

A session is a fold, so its journal decides everything: the words of the acknowledged steps, in the order that their
answers told, give the state that each answer must show. What was answered 503 `no` is never in it, what was abandoned
is in it only if the service said so, and what a rollback of the store may have undone must be told before the next
step.
"""

from dataclasses import dataclass, field

from tests.chaos.journal import Event, Part, Session
from tests.chaos.ledger import Ledger, Undecided, Violation
from tests.chaos.replay import Network
from tests.chaos.risks import Risks


@dataclass(slots=True)
class Replay:
    """Goes through one session's journal."""

    session: Session
    network: Network
    risks: Risks
    ledger: Ledger = field(init=False)
    _deleted: Part | None = None

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.session, self.network, self.risks)

    def verdict(self) -> list[str]:
        """The first violation, if any: all behind it would follow from it."""
        for number, event in enumerate(self.session.events):
            try:
                if not self._take(event):
                    break
            except Undecided:
                self._leave(number)
                break
            except Violation as violation:
                # Which of several requests came first, cannot be told after a rollback in their midst.
                if len(event.parts) == 1 or not self.ledger.risky(event):
                    return [self._told(str(violation), number)]
                self._leave(number)
                break
        return []

    def _told(self, what: str, number: int) -> str:
        session = self.session
        head = f"{what}; session {session.id} of client {session.client} ({session.model}, {session.durability})"
        return "\n    ".join([head, *session.excerpt(number)])

    def _leave(self, number: int) -> None:
        """Count what is behind an event that cannot be judged."""
        rest = [part for event in self.session.events[number:] for part in event.parts if part.request.words]
        self.ledger.counts["sessions not followed further: the order of requests at once was lost"] += 1
        self.ledger.counts["steps not verified for that"] += sum(part.reply.status == 200 for part in rest)

    def _take(self, event: Event) -> bool:
        """Judge one event; False when the session is over."""
        if event.kind == "abandoned":
            self.ledger.pending = self.ledger.abandoned = event.parts[0]
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
            self._deleted = event.parts[0]
        else:
            self._stepped(event)
        self.ledger.loose = self.ledger.loose or any(part.loose for part in event.parts)
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
        ledger, body, request = self.ledger, part.reply.json, part.request
        step = body["step"]
        if request.step is not None and step != request.step + 1:
            raise Violation(f"the answer tells step {step}, the request expected {request.step}")
        if step <= ledger.at and ledger.steps[step - 1].request == request and part.reply.replayed:
            self._same_again(step, part)
            return
        if step != ledger.at + 1:
            ledger.roll_back(step - 1)
        ledger.enter(request, part.sent, part.at, part.reply.body)
        ledger.pending = None
        ledger.counts["steps"] += 1
        try:
            ledger.check(body)
        except Violation:
            ledger.replace_lost(body)

    def _same_again(self, step: int, part: Part) -> None:
        ledger = self.ledger
        ledger.counts["replays"] += 1
        if step < ledger.at:
            ledger.roll_back(step)
        if part.reply.body != ledger.steps[-1].body and not ledger.risky(ledger.steps[-1]):
            raise Violation("a repeated request was answered differently")

    def _looked(self, part: Part) -> None:
        if part.reply.status != 200:
            raise Violation("a look was never answered for good")
        if self._deleted is not None and not self.ledger.risky(self._deleted):
            raise Violation("a session that was ended answers")
        self.ledger.stand_at(part.reply.json["step"], part)
        self.ledger.check(part.reply.json)

    def _conflict(self, part: Part) -> None:
        """The request did not apply, now: the session stands elsewhere, or has moved on."""
        ledger, request, error = self.ledger, part.request, part.reply.error
        before = ledger.at
        ledger.stand_at(error["step"], part)
        if ledger.at == before == request.step and error["applied"] != "yes":
            raise Violation("a step was refused that the session stands at")
        if error["applied"] == "no" and any(one.request == request for one in ledger.steps):
            raise Violation("a step was reported as `no` and is applied")

    def _group(self, event: Event) -> None:
        """Requests at once. One whose answer got lost may have been overtaken: 409 `yes`, and its place is the gap."""
        placed = {part.reply.json["step"]: part for part in event.parts if part.reply.status == 200}
        rest = [part for part in event.parts if part.reply.status != 200]
        if any(part.reply.error.get("applied") != "yes" or part.reply.status != 409 for part in rest):
            raise Violation("requests at once: one was not answered for good")
        first = min([*placed, self.ledger.at + 1])
        gaps = [step for step in range(first, first + len(event.parts)) if step not in placed]
        if len(gaps) != len(rest):
            raise Violation("requests at once: their answers tell no order")
        if len(rest) > 1:
            raise Undecided
        for _, part in sorted([*placed.items(), *zip(gaps, rest, strict=True)], key=lambda pair: pair[0]):
            if part.reply.status == 200:
                self._acknowledged(part)
            else:
                self.ledger.enter(part.request, part.sent, part.at)
                self.ledger.counts["overtaken and applied"] += 1

    def _end(self, event: Event, part: Part) -> None:
        """The session is over, or something failed: is that what had to come?"""
        code = part.reply.error.get("code")
        if not self._may_end(code, event, part):
            raise Violation(f"the answer is {part.reply.status} {code}")
        self.ledger.counts[f"ended: {code}"] += 1

    def _may_end(self, code: str | None, event: Event, part: Part) -> bool:
        session = self.session
        if code == "session_expired":
            return part.at >= self.ledger.renewed() + session.ttl - 0.1 or self.ledger.risky(session)
        if code == "session_ended":
            return any(one.kind == "delete" for one in session.events)
        if code == "model_version_gone":
            return session.model == "swapped" and self.risks.swapped(session.sent, part.at)
        return False
