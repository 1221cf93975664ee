"""The log of a session as its acknowledged steps make it, and what the store may have lost of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.journal import Event, Part, Request, Session
from tests.chaos.replay import Network
from tests.chaos.risks import Risks


class Violation(Exception):
    """A broken promise, in one sentence."""


class Undecided(Exception):
    """Requests at once whose order nothing tells any more."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A step in the log: its request, between which times it was committed, its answer if any, the state after."""

    request: Request
    sent: float
    at: float
    body: bytes
    state: Any


@dataclass(slots=True)
class Ledger:
    """All steps of one session that count, in their order.

    `pending` is an abandoned request of which nothing is known yet; `loose` says that a request which knows no step
    got lost, so that a copy of it may still be on its way.
    """

    session: Session
    network: Network
    risks: Risks
    steps: list[Applied] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    pending: Part | None = None
    loose: bool = False
    abandoned: Part | None = None

    @property
    def at(self) -> int:
        """How many steps the session has."""
        return len(self.steps)

    @property
    def state(self) -> Any:
        """The state after them."""
        return self.steps[-1].state if self.steps else self.network.start

    def enter(self, request: Request, sent: float, at: float, body: bytes = b"") -> None:
        """Add a step, committed somewhere between these times."""
        self.steps.append(Applied(request, sent, at, body, self.network.after(self.state, request.words)))

    def check(self, body: dict[str, Any]) -> None:
        """Whether an answer tells of the session as it stands here. Raises Violation."""
        words = sum(len(one.request.words) for one in self.steps)
        wrong = self.network.differs(self.state, body["output"]) if "output" in body else None
        if body.get("id", body.get("session_id")) != self.session.id or body["model"] != self.session.model:
            wrong = "the answer is another session's"
        if body["timesteps"] != words:
            wrong = f"the answer tells {body['timesteps']} timesteps, expected {words}"
        if wrong:
            raise Violation(f"at step {self.at}, {wrong}")

    def replace_lost(self, body: dict[str, Any]) -> None:
        """Explain an answer by the known limit of docs/chaos.md, or raise Violation.

        The step before the newest may be lost, and the client's own abandoned request for that step be in its place.
        """
        late = self.abandoned
        if late is None or late.request.step != self.at - 2 or not self.risky(self.steps[-2]):
            self.check(body)
        else:
            newest, _ = self.steps.pop(), self.steps.pop()
            self.enter(late.request, late.sent, newest.at)
            self.enter(newest.request, newest.sent, newest.at, newest.body)
            self.check(body)
            self.counts["KNOWN LIMIT: an abandoned request took the place of a step that the store lost"] += 1

    def stand_at(self, told: int, part: Part) -> None:
        """Believe where the session stands, if that can be. Raises Violation."""
        if told == self.at + 1 and self.pending is not None:
            self.enter(self.pending.request, self.pending.sent, part.at)
            self.counts["abandoned and applied"] += 1
        elif told != self.at:
            self.roll_back(told)
        self.pending = None

    def roll_back(self, step: int) -> None:
        """Go back to `step`, if what is lost by that may be lost. Raises Violation, Undecided."""
        if step > self.at:
            raise Violation(f"the session is at step {step}, only {self.at} were ever answered")
        if not all(self.risky(lost) for lost in self.steps[step:]):
            raise Violation(f"acknowledged steps are lost: the session is at {step}, {self.at} were answered")
        self.counts["steps rolled back, and told"] += self.at - step
        del self.steps[step:]
        if self.loose:
            # The copy may have taken the place of a step that was lost.
            raise Undecided

    def risky(self, one: Applied | Part | Event | Session) -> bool:
        """Whether what was committed then may be lost."""
        return self.risks.may_lose(self.session.durability, one.sent, one.at)

    def renewed(self) -> float:
        """When the session was given its time to live, at the earliest: a renewal that is lost, is none."""
        return max((one.sent for one in self.steps if not self.risky(one)), default=self.session.sent)
