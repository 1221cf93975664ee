"""The log of a session as its acknowledged steps make it, and what the store may have lost of it."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.contents import Content, Reset
from tests.chaos.journal import Event, Part, Request, Session
from tests.chaos.replay import Network, Standing
from tests.chaos.risks import Risks


class Violation(Exception):
    """A broken promise, in one sentence."""


class Undecided(Exception):
    """Requests at once whose order nothing tells any more."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A step in the log: its request, between which times it was committed, its answer if any, and what came of it.

    One that is only `seen` was never acknowledged: a look showed it, in the store as it was at that moment.
    """

    request: Request
    sent: float
    at: float
    body: bytes
    standing: Standing
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """When a session was given so many seconds to live."""

    sent: float
    at: float
    ttl: int


@dataclass(slots=True)
class Ledger:
    """All steps of one session that count, in their order; `first` is where it began, after `base` steps of its parent.

    `pending` is an abandoned request of which nothing is known yet; `loose` says that a request which knows no step
    got lost, so that a copy of it may still be on its way. `late` is one with a step, of which a copy may be.
    """

    session: Session
    network: Network
    risks: Risks
    first: Standing
    base: int = 0
    steps: list[Applied] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    pending: Part | None = None
    loose: bool = False
    abandoned: Part | None = None
    late: Part | None = None
    renewals: list[Renewal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.renewals.append(Renewal(self.session.sent, self.session.at, self.session.ttl))

    @property
    def at(self) -> int:
        """How many steps the session has."""
        return self.base + len(self.steps)

    @property
    def standing(self) -> Standing:
        """Where it stands after them."""
        return self.standing_at(self.at)

    def standing_at(self, step: int) -> Standing:
        """Where it stood at a step. Raises Violation for one that it never had."""
        if not self.base <= step <= self.at:
            raise Violation(f"step {step} is told, the session was at {self.base} to {self.at}")
        return self.steps[step - self.base - 1].standing if step > self.base else self.first

    def applied_at(self, step: int) -> Applied | None:
        """The step that led to this count, if it is in the log."""
        return self.steps[step - self.base - 1] if self.base < step <= self.at else None

    def since(self, step: int) -> list[Applied]:
        """The steps after this count."""
        return self.steps[step - self.base :]

    def enter(self, request: Request, sent: float, at: float, body: bytes = b"", *, seen: bool = False) -> None:
        """Add a step, committed somewhere between these times."""
        assert request.content is not None
        self.steps.append(Applied(request, sent, at, body, self._after(request.content), seen))
        self.renewals.append(Renewal(sent, at, self.ttl))

    def _after(self, content: Content) -> Standing:
        """Where the session stands after a step; a reset feeds nothing, and answers with the Session."""
        if not isinstance(content, Reset):
            return self.network.after(self.standing, content)
        start = self.network.start(self.session.opening) if content.step is None else self.standing_at(content.step)
        return replace(start, timesteps=self.standing.timesteps, answer={})

    def check(self, body: dict[str, Any], expected: dict[str, Any] | None = None) -> None:
        """Whether an answer tells of the session as it stands here, and shows what is expected. Raises Violation."""
        wrong = None
        if "output" in body:
            wrong = self.network.differs(self.standing.answer if expected is None else expected, body["output"])
        if body.get("id", body.get("session_id")) != self.session.id or body["model"] != self.session.model:
            wrong = "the answer is another session's"
        if body["timesteps"] != self.standing.timesteps:
            wrong = f"the answer tells {body['timesteps']} timesteps, expected {self.standing.timesteps}"
        if body.get("ttl_seconds", self.ttl) < self.ttl:
            wrong = f"the session lives {body['ttl_seconds']} s, was given {self.ttl}"
        if wrong:
            raise Violation(f"at step {self.at}, {wrong}")

    def replace_lost(self, body: dict[str, Any]) -> None:
        """Explain an answer by the known limit of docs/chaos.md, or raise Violation.

        The step before the newest may be lost, and the client's own abandoned request for that step be in its place.
        """
        late = self.abandoned
        if late is None or len(self.steps) < 2 or late.request.step != self.at - 2 or not self.risky(self.steps[-2]):
            self.check(body)
        else:
            newest, _ = self.steps.pop(), self.steps.pop()
            self.enter(late.request, late.sent, newest.at)
            self.enter(newest.request, newest.sent, newest.at, newest.body)
            self.check(body)
            self.counts["KNOWN LIMIT: an abandoned request took the place of a step that the store lost"] += 1

    def stand_at(self, told: int, part: Part, *, seen: bool = False) -> None:
        """Believe where the session stands, if that can be; `seen`: by a look, which waits for no disk and no replica.

        Raises Violation.
        """
        late = self.late
        if told == self.at + 1 and self.pending is None and late is not None and late.request.step == self.at:
            self.enter(late.request, late.sent, part.at, seen=seen)
            self.late = None
            self.counts["KNOWN LIMIT: a lost request was applied behind steps that the store lost, and told"] += 1
        elif told == self.at + 1 and self.pending is not None:
            self.enter(self.pending.request, self.pending.sent, part.at, seen=seen)
            self.counts["abandoned and applied"] += 1
        elif told != self.at:
            self.roll_back(told)
        self.pending = None

    def roll_back(self, step: int) -> None:
        """Go back to `step`, if what is lost by that may be lost. Raises Violation, Undecided."""
        if step > self.at:
            raise Violation(f"the session is at step {step}, only {self.at} were ever answered")
        if step < self.base:
            raise Violation(f"the session is at step {step}, it began at {self.base}")
        if not all(self.risky(lost) for lost in self.since(step)):
            raise Violation(f"acknowledged steps are lost: the session is at {step}, {self.at} were answered")
        self.counts["steps rolled back, and told"] += self.at - step
        del self.steps[step - self.base :]
        if self.loose:
            # The copy may have taken the place of a step that was lost.
            raise Undecided

    def risky(self, one: Applied | Renewal | Part | Event | Session) -> bool:
        """Whether what was committed then may be lost."""
        level = "memory" if isinstance(one, Applied) and one.seen else self.session.durability
        return self.risks.may_lose(level, one.sent, one.at)

    @property
    def ttl(self) -> int:
        """How long a step renews the session, at the least: the time of a PATCH that is lost, is none."""
        return min(one.ttl for one in self._last_renewals())

    def expires(self) -> float:
        """When the session may end, at the earliest."""
        return min(one.sent + one.ttl for one in self._last_renewals())

    def _last_renewals(self) -> list[Renewal]:
        """The last one that cannot be lost, and those behind it."""
        last = next((at for at in reversed(range(len(self.renewals))) if not self.risky(self.renewals[at])), 0)
        return self.renewals[last:]
