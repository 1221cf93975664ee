"""What a client sends next follows from the seed, however long its answers take."""

import asyncio
import json
import time
from typing import Any

from tests.chaos.client import Client
from tests.chaos.driver import Shared
from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.journal import Attempt, Part, Request

Sent = tuple[str, tuple[str, ...], int | None, str | None]


class Answers:
    """An honest service, in a few lines; each request is lost so many times before it is answered."""

    def __init__(self, losses: int) -> None:
        self.losses, self.step, self.seen = losses, 0, dict[tuple[Request, str], Reply]()
        self.http = self

    async def abandon(self, *_: object) -> None:
        """A request that never arrived."""

    async def send(self, part: Part, path: str, body: object, *, method: str = "POST", **_: Any) -> None:
        now = time.monotonic()
        part.attempts += [Attempt(now, now, NOTHING)] * self.losses
        part.attempts.append(Attempt(now, now, self.answer(part.request, method, path)))

    def answer(self, request: Request, method: str, path: str) -> Reply:
        if path == "/v1/sessions":
            self.step, self.seen = 0, {}
            return Reply(201, b'{"id": "ses_x"}')
        if method == "DELETE":
            return Reply(204)
        if not request.words:
            return Reply(200, json.dumps({"step": self.step}).encode())
        if (request, path) not in self.seen:
            self.step += 1
            self.seen[request, path] = Reply(200, json.dumps({"step": self.step}).encode())
        return self.seen[request, path]


def sent_by(seed: int, losses: int) -> list[Sent]:
    shared = Shared(until=0.0)
    client = Client(0, seed, "adder", Answers(losses), shared)  # type: ignore[arg-type]

    async def work() -> None:
        for _ in range(60):
            client._turn()
            await (client._open() if client.session is None else client._act())

    asyncio.run(work())
    events = [event for session in shared.sessions for event in session.events]
    return [
        (event.kind, part.request.words, part.request.step, part.request.key)
        for event in events
        for part in event.parts
    ]


def test_the_same_seed_sends_the_same_whatever_is_lost_on_the_way() -> None:
    assert sent_by(3, losses=0) == sent_by(3, losses=2)


def test_another_seed_sends_something_else() -> None:
    assert sent_by(3, losses=0) != sent_by(4, losses=0)
