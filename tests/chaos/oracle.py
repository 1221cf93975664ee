"""The judge: replays a session's journal offline and tells every promise that was broken.

A session is a fold, so its journal decides everything: what the acknowledged steps fed, in the order that their answers
told, gives the state that each answer must show. What was answered 503 `no` is never in it, what was abandoned is in it
only if the service said so, and what a rollback of the store may have undone must be told before the next step.
"""

from dataclasses import dataclass, field

from tests.chaos.contents import Reset
from tests.chaos.journal import LOOKS, Event, Part, Session
from tests.chaos.ledger import Ledger, Renewal, Undecided, Violation
from tests.chaos.replay import Network, Standing
from tests.chaos.risks import Risks

#: What leaves a session as it is, or ends it as its client wants.
_GOES_ON = frozenset({200, 201, 204, 409, 503})


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a session begins: its first standing, and after how many steps of its parent."""

    standing: Standing
    step: int = 0


@dataclass(slots=True)
class Replay:
    """Goes through one session's journal; `children` tells where the sessions that were forked from it begin."""

    session: Session
    network: Network
    risks: Risks
    beginning: Beginning | None = None
    ledger: Ledger = field(init=False)
    children: dict[str, Beginning] = field(default_factory=dict)
    _deleted: Part | None = None

    def __post_init__(self) -> None:
        begins = self.beginning or Beginning(self.network.start(self.session.opening))
        self.ledger = Ledger(self.session, self.network, self.risks, begins.standing, begins.step)

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
        rest = [part for event in self.session.events[number:] for part in event.parts if part.request.content]
        self.ledger.counts["sessions not followed further: the order of requests at once was lost"] += 1
        self.ledger.counts["steps not verified for that"] += sum(part.reply.status == 200 for part in rest)

    def _take(self, event: Event) -> bool:
        """Judge one event; False when the session is over."""
        if event.kind == "abandoned":
            self.ledger.pending = self.ledger.abandoned = event.parts[0]
            return True
        if event.kind in {"stranger", "unread"}:
            (self._strange if event.kind == "stranger" else self._unread)(event.parts[0])
            # A reset of a package, which knows no step, and of which a copy may still be on its way.
            self.ledger.loose = self.ledger.loose or isinstance(event.parts[0].request.content, Reset)
            return True
        for part in event.parts:
            if part.reply.status not in _GOES_ON and not self._refused_kept_step(event, part):
                self._end(part)
                return False
        if event.kind in {"group", "queue"}:
            self._group(event)
        elif event.kind in LOOKS:
            self._looked(event)
        elif event.kind == "fork":
            self._forked(event)
        elif event.kind == "delete":
            self._deleted = event.parts[0]
        else:
            self._stepped(event)
        self.ledger.loose = self.ledger.loose or any(part.loose for part in event.parts)
        return True

    def _strange(self, part: Part) -> None:
        """A step for a session that never was, in the midst of others."""
        if part.reply.status != 404 or part.reply.error.get("code") != "session_not_found":
            raise Violation("a session that never was is not told as that")
        self.ledger.counts["refused for itself among others"] += 1

    def _stepped(self, event: Event) -> None:
        part = event.parts[0]
        if self._refused_kept_step(event, part):
            return
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
            # Of an answer that got lost, both of those that came may be repetitions. A stream that had begun when
            # another worker applied the request ends with that answer, and had its headers sent before.
            if not any(reply.replayed or reply.streamed for reply in replies):
                raise Violation("a request that was sent twice was applied twice")
        elif len({reply.status for reply in replies}) > 1:
            raise Violation("a request that was sent twice was answered in two ways")

    def _acknowledged(self, part: Part) -> None:
        ledger, body, request = self.ledger, part.reply.json, part.request
        step = body["step"]
        if request.step is not None and step != request.step + 1:
            raise Violation(f"the answer tells step {step}, the request expected {request.step}")
        before = ledger.applied_at(step)
        if before is not None and before.request == request and part.reply.replayed:
            self._same_again(step, part)
            return
        if step != ledger.at + 1:
            # Where it stood, a 503 may have told, which is not for good: not durable yet, as it turned out later.
            ledger.stand_at(step - 1, part)
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

    def _unread(self, part: Part) -> None:
        """A step that the next answers must show."""
        assert part.request.step is not None
        if part.request.step != self.ledger.at:
            self.ledger.stand_at(part.request.step, part)
        self.ledger.enter(part.request, part.sent, part.at)
        self.ledger.counts["applied, and the answer lost"] += 1

    def _looked(self, event: Event) -> None:
        part, ledger = event.parts[0], self.ledger
        if part.reply.status not in {200, 201}:
            raise Violation("a look was never answered for good")
        if self._deleted is not None and not ledger.risky(self._deleted):
            raise Violation("a session that was ended answers")
        body = part.reply.json
        ledger.stand_at(body["step"], part, seen=event.kind in {"get", "look"})
        ledger.check(body, ledger.network.look(ledger.standing, part.request.content) if "output" in body else None)
        ledger.counts["looks"] += 1
        if event.kind == "patch":
            ledger.renewals.append(Renewal(part.sent, part.at, body["ttl_seconds"]))

    def _conflict(self, part: Part) -> None:
        """The request did not apply, now: the session stands elsewhere, or has moved on."""
        ledger, request, error = self.ledger, part.request, part.reply.error
        before = ledger.at
        ledger.stand_at(error["step"], part)
        if part.lost and request.step is not None and ledger.at < before and error["applied"] == "no":
            # The store lost steps while the first copy of the request was on its way.
            ledger.late = part
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
        order = sorted([*placed.items(), *zip(gaps, rest, strict=True)], key=lambda pair: pair[0])
        at_once = event.kind == "queue" and all(len(part.attempts) == 1 for part in event.parts)
        if at_once and [part for _, part in order] != event.parts:
            raise Violation("the steps of one request were applied in another order")
        for _, part in order:
            if part.reply.status == 200:
                self._acknowledged(part)
            else:
                self.ledger.enter(part.request, part.sent, part.at)
                self.ledger.counts["overtaken and applied"] += 1

    def _forked(self, event: Event) -> None:
        """A copy was made, perhaps asked for twice: one session, which begins where this one stands or stood."""
        made = [part.reply.json for part in event.parts if part.reply.status == 201]
        if len(made) < len(event.parts):
            if any(part.reply.status in {409, 503} for part in event.parts):
                raise Violation("a fork was never answered for good")
            return
        if len({child["id"] for child in made}) != 1:
            raise Violation("a fork that was repeated made two sessions")
        if len({child["step"] for child in made}) != 1:
            raise Violation("a fork that was repeated tells two places")
        part, step = event.parts[-1], made[-1]["step"]
        if part.request.step is None:
            self.ledger.stand_at(step, part)
        elif step != part.request.step:
            raise Violation(f"the fork begins at step {step}, was asked to at {part.request.step}")
        self.children[made[-1]["id"]] = Beginning(self.ledger.standing_at(step), step)
        self.ledger.counts["forks"] += 1

    def _refused_kept_step(self, event: Event, part: Part) -> bool:
        """Whether this refuses a fork from a step that is not kept, or a reset to one, as where the store lost some."""
        content = part.request.content
        step = part.request.step if event.kind == "fork" else content.step if isinstance(content, Reset) else None
        if part.reply.status != 422 or step is None:
            return False
        lost = self.ledger.applied_at(step)
        return lost is not None and self.ledger.risky(lost)

    def _end(self, part: Part) -> None:
        """The session is over, or something failed: is that what had to come?"""
        code = part.reply.error.get("code")
        if not self._may_end(code, part):
            raise Violation(f"the answer is {part.reply.status} {code}")
        self.ledger.counts[f"ended: {code}"] += 1

    def _may_end(self, code: str | None, part: Part) -> bool:
        session = self.session
        if code == "session_expired":
            return part.at >= self.ledger.expires() - 0.1 or self.ledger.risky(session)
        if code == "session_ended":
            return any(one.kind == "delete" for one in session.events)
        if code == "model_version_gone":
            return session.model == "swapped" and self.risks.swapped(session.sent, part.at)
        return False
