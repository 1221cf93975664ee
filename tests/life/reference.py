"""What a session promises, written down a second time and as simply as can be: words and answers in lists.

Nothing here is derived from the service's own rules of exactly once: a request is looked up in the history of those
that were applied.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.life.oracle import Words

REMEMBERED_KEYS = 32
Ending = Literal["session_ended", "session_expired", "state_corrupted"]
STATUSES = {"session_ended": 410, "session_expired": 410, "state_corrupted": 500, "session_not_found": 404}


@dataclass(frozen=True)
class Request:
    """A step as its client sends it. `seed` and `max_tokens` belong to generations: seed 0 is greedy.

    A `reset` goes to the beginning, or to the kept step `back`.
    """

    words: Words
    form: Literal["text", "tokens"] = "text"
    top_k: int = 5
    max_tokens: int = 0
    seed: int = 0
    step: int | None = None
    key: str | None = None
    reset: bool = False
    back: int | None = None

    @property
    def body(self) -> "Request":
        """What must be equal for a request to be the same; its key is compared apart."""
        return replace(self, key=None, form=self.form if self.words else "text")


@dataclass(frozen=True)
class Applied:
    """A request that took effect at `step`, and the bytes that answered it."""

    request: Request
    step: int
    answer: bytes


@dataclass(frozen=True)
class Refusal:
    """An error; `applied` are the words that tell the truth of it, any where it is empty."""

    status: int
    code: str
    applied: frozenset[str | None] = frozenset()
    step: int | None = None


NOT_FOUND = Refusal(404, "session_not_found")


@dataclass
class Session:
    """One session: the words that it was fed, what was applied, and where its copies may begin.

    `undone` counts the words that resets took back: they stay timesteps.
    """

    id: str
    tenant: str
    model: str
    version: str
    created_at: int
    expires_at: int
    ttl_seconds: int
    durability: str
    kept_steps: int
    origin: Any = None
    words: Words = ()
    step: int = 0
    ending: Ending | None = None
    history: list[Applied] = field(default_factory=list)
    kept: list[tuple[int, Words, int]] = field(default_factory=list)
    undone: int = 0
    hidden: bool = False
    left_ms: int = 0
    left_at: float = 0.0

    @property
    def place(self) -> tuple[int, str]:
        """Newer sessions are greater."""
        return self.created_at, self.id

    @property
    def timesteps(self) -> int:
        """How many words it was fed, those included that a reset took back."""
        return len(self.words) + self.undone

    @property
    def starts(self) -> dict[int, tuple[Words, int]]:
        """What a copy at each step begins with, or a reset goes back to."""
        return {step: (words, undone) for step, words, undone in self.kept} | {self.step: (self.words, self.undone)}

    @property
    def last(self) -> Applied | None:
        """The last applied request."""
        return self.history[-1] if self.history else None

    def refusal(self) -> Refusal | None:
        """How every request to a session that is over is answered."""
        return None if self.ending is None else Refusal(STATUSES[self.ending], self.ending)

    def keyed(self) -> list[Applied]:
        """The applied requests whose keys are remembered, the newest last."""
        return [one for one in self.history if one.request.key is not None][-REMEMBERED_KEYS:]

    def expected(self, request: Request) -> Applied | Refusal | None:
        """The answer to repeat, the refusal, or None for a request to apply."""
        if (over := self.refusal()) is not None:
            return replace(over, applied=frozenset({"no"}))
        last = self.last
        if request.key is not None:
            if last is not None and last.request.key == request.key:
                same = last.request.body == request.body
                return last if same else Refusal(422, "idempotency_key_reused", frozenset({"no"}), self.step)
            if any(one.request.key == request.key for one in self.keyed()):
                return Refusal(409, "step_conflict", frozenset({"yes"}), self.step)
        elif request.step is not None and last is not None and last.request.body == request.body:
            return last
        return self._misplaced(request)

    def _misplaced(self, request: Request) -> Refusal | None:
        """The refusal of a step that is not the session's, or of a reset to one that it does not keep."""
        if request.step is not None and request.step != self.step:
            return Refusal(409, "step_conflict", self._truth(request), self.step)
        if request.back is not None and request.back not in self.starts:
            return Refusal(422, "invalid_request", frozenset({"no"}))
        return None

    def _truth(self, request: Request) -> frozenset[str | None]:
        """What may be said of a request that expects another step than the session's."""
        if request.step is not None and request.step >= self.step:
            return frozenset({"no"})
        if any(one.request == request for one in self.history):
            return frozenset({"unknown"})
        newest = self.last is not None and request.step == self.last.step
        return frozenset({"no"}) if newest and request.key is not None else frozenset({"no", "unknown"})

    def advance(self, request: Request, words: Words, answer: bytes, now: int) -> None:
        """Apply a request that fed `words`."""
        self.history.append(Applied(request, self.step, answer))
        fed, starts = self.timesteps, self.starts
        kept = [*self.kept, (self.step, self.words, self.undone)]
        if request.reset:
            self.words = () if request.back is None else starts[request.back][0]
            self.undone = fed - len(self.words)
        self.words += words
        self.step += 1
        self.kept = kept[-self.kept_steps :] if self.kept_steps else []
        self.renew(now)

    def renew(self, now: int) -> None:
        """Count the time to live from `now` on, in milliseconds since 1970."""
        self.expires_at = now + 1000 * self.ttl_seconds

    def fork(self, child: str, step: int | None, ttl_seconds: int | None, now: int, origin: Any) -> "Session | None":
        """The copy that stands where this session stood at `step`; None where that state is not kept."""
        starts = self.starts
        at = self.step if step is None else step
        if at not in starts:
            return None
        return replace(
            self,
            id=child,
            created_at=now,
            ttl_seconds=ttl_seconds or self.ttl_seconds,
            expires_at=now + 1000 * (ttl_seconds or self.ttl_seconds),
            origin=origin,
            words=starts[at][0],
            undone=starts[at][1],
            step=at,
            history=[],
            kept=[one for one in self.kept if one[0] < at],
        )


@dataclass
class Reference:
    """All sessions of all clients, by id."""

    sessions: dict[str, Session] = field(default_factory=dict)

    def live(self, tenant: str | None = None) -> Iterator[Session]:
        """Those that answer."""
        return (one for one in self.sessions.values() if one.ending is None and tenant in (None, one.tenant))

    def listed(self, tenant: str, model: str | None, before: tuple[int, str] | None) -> list[Session]:
        """Those that a listing shows from a place on, newest first."""
        found = [
            one
            for one in self.sessions.values()
            if one.tenant == tenant
            and (one.ending is None or (one.ending == "state_corrupted" and not one.hidden))
            and model in (None, one.model)
            and (before is None or one.place < before)
        ]
        return sorted(found, key=lambda one: one.place, reverse=True)
