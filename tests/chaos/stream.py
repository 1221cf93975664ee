"""One session as its client knows it: where it stands, what it sent, what it must mark."""

from dataclasses import dataclass, field
from typing import Any

from tests.chaos.contents import Generation, body_of, route_of
from tests.chaos.http1 import Reply
from tests.chaos.journal import Event, Kind, Part, Request, Session

_REMEMBERED = 40


@dataclass(slots=True, eq=False)
class Stream:
    """What follows from the answers, and nothing of chance.

    `creation` is the body and the key that opened it, `base` the step at which a fork began.
    """

    session: Session
    leave_at: int
    creation: tuple[dict[str, Any], str | None] | None = None
    step: int = 0
    base: int = 0
    stepped: list[Request] = field(default_factory=list)
    must_mark: bool = False
    over: bool = False

    @property
    def path(self) -> str:
        return f"/v1/sessions/{self.session.id}"

    @property
    def done(self) -> bool:
        """Whether its client leaves it."""
        return self.over or len(self.session.events) >= self.leave_at

    def to_step(self, request: Request) -> tuple[str, dict[str, Any]]:
        """The path and the body of a request to advance it."""
        assert request.content is not None
        return f"{self.path}/{route_of(request.content)}", self.body(request)

    def body(self, request: Request) -> dict[str, Any]:
        """The body alone."""
        body = {} if request.content is None else body_of(request.content, self.session.model)
        if request.step is None:
            return body
        # A stream without `step` is not computed again after a step of another worker, but answered 409.
        streams = isinstance(request.content, Generation) and request.step % 2 == 0
        options = {"options": body["options"] | {"stream": True}} if streams else {}
        return body | options | {"step": request.step}

    def item(self, request: Request) -> dict[str, Any]:
        """The request as one of many."""
        key = {} if request.key is None else {"idempotency_key": request.key}
        return {"session_id": self.session.id, **key, **self.body(request)}

    def note(self, kind: Kind, *parts: Part) -> None:
        """Write an event down, and learn from it."""
        event = Event(kind, list(parts))
        self.session.events.append(event)
        if kind == "abandoned":
            self.must_mark = True
        elif kind not in {"stranger", "fork"}:
            self._learn(event, [part.reply for part in parts])

    def _learn(self, event: Event, replies: list[Reply]) -> None:
        if any(reply.status not in {0, 200, 201, 409, 503} for reply in replies):
            self.over = True
            return
        told = [reply.told_step for reply in replies]
        self.step = max((step for step in told if step is not None), default=self.step)
        if replies[0].status in {200, 409}:
            # An answer for good also told what became of an abandoned request before it.
            self.must_mark = False
        first = event.parts[0].request
        if event.kind in {"step", "twin"} and replies[0].status == 200 and first.step is not None:
            self.stepped = [*self.stepped, first][-_REMEMBERED:]
        self._loosen(event)

    def _loosen(self, event: Event) -> None:
        """Be left soon where a request without `step` got lost: its key is known for 32 steps only."""
        if any(part.loose for part in event.parts):
            self.session.loose = True
            self.leave_at = min(self.leave_at, len(self.session.events) + 7)
