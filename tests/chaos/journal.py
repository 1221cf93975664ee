"""What a client writes down of a session: every request, every attempt at it, everything that came back."""

from dataclasses import dataclass, field
from typing import Any, Literal

from service.domain.sessions import Durability
from tests.chaos.contents import Content
from tests.chaos.http1 import NOTHING, Reply

#: What an event is about.
Kind = Literal[
    "step",
    "twin",  # one request twice at once
    "group",  # different requests at once
    "queue",  # different requests one behind the other in one body
    "late",  # a request once more
    "abandoned",
    "unread",  # applied, as the steps behind it tell, and never answered to its client
    "look",
    "get",
    "patch",
    "reopen",  # the keyed creation once more
    "fork",
    "stranger",  # a step for a session that never was, among others
    "delete",
]
#: Events that show where the session stands, and leave it there.
LOOKS: frozenset[Kind] = frozenset({"look", "get", "patch", "reopen"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request to advance the session, or to look ahead; `step` and `key` are its marks."""

    content: Content | None = None
    step: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a request, by the clock of the suite."""

    sent: float
    at: float
    reply: Reply

    @property
    def applied(self) -> str:
        """Whether it took effect, as far as its reply tells."""
        if self.reply.status == 200:
            return "yes"
        return str(self.reply.error.get("applied") or "unknown")


@dataclass(slots=True)
class Part:
    """A request and all attempts at it; the last one decides."""

    request: Request
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def reply(self) -> Reply:
        return self.attempts[-1].reply if self.attempts else NOTHING

    @property
    def sent(self) -> float:
        return self.attempts[0].sent

    @property
    def at(self) -> float:
        return self.attempts[-1].at

    @property
    def loose(self) -> bool:
        """Whether a copy of a request that knows no step may still be on its way."""
        return self.lost and self.request.content is not None and self.request.step is None

    @property
    def lost(self) -> bool:
        """Whether an attempt got no answer at all, so that a copy of it may still be on its way."""
        return any(attempt.reply.status == 0 for attempt in self.attempts)

    @property
    def settled(self) -> bool:
        """Whether there is an answer for good: neither silence nor 503 is one."""
        return self.reply.status not in {0, 503}

    @property
    def refused(self) -> bool:
        """Whether every attempt was answered `no`."""
        return all(attempt.applied == "no" for attempt in self.attempts)


@dataclass(slots=True)
class Event:
    """One thing that a client did, with all that came of it."""

    kind: Kind
    parts: list[Part]

    @property
    def sent(self) -> float:
        return min(part.sent for part in self.parts)

    @property
    def at(self) -> float:
        return max(part.at for part in self.parts)


@dataclass(slots=True)
class Session:
    """One session from its creation on; `loose` where a lost request may still be applied when the journal ends.

    `opening` is the input that it was created with, if any, `parent` the id of the session that it was forked from.
    """

    id: str
    model: str
    durability: Durability
    ttl: int
    sent: float
    at: float
    client: int
    opening: dict[str, Any] | None = None
    parent: str | None = None
    kept: int = 0
    loose: bool = False
    events: list[Event] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether its client was told that it is gone."""
        return any(part.reply.status in {204, 404, 410} for event in self.events[-1:] for part in event.parts)

    def excerpt(self, upto: int, length: int = 6) -> list[str]:
        """The events that led to a violation, for people."""
        return [describe(event) for event in self.events[max(0, upto - length) : upto + 1]]


def describe(event: Event) -> str:
    """One line on an event."""
    told = []
    for part in event.parts:
        replies = "; ".join(brief(attempt) for attempt in part.attempts)
        told.append(f"{part.request.content} step={part.request.step} key={part.request.key}: {replies}")
    return f"{event.kind} " + " | ".join(told)


def brief(attempt: Attempt) -> str:
    """One attempt in a word or two."""
    reply, when = attempt.reply, f"{attempt.sent:.2f}-{attempt.at:.2f}"
    if reply.status == 0:
        return f"{when} nothing"
    if reply.status in {200, 201} and "step" in (body := reply.json):
        return f"{when} {reply.status} step={body['step']} {_shown(body)}{' replayed' if reply.replayed else ''}"
    error = reply.error
    reason = error.get("code") or error.get("message")
    return f"{when} {reply.status} {reason} applied={error.get('applied')} step={error.get('step')}"


def _shown(body: dict[str, object]) -> str:
    return str(body.get("output", ""))[:80]
