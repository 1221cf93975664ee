"""What a client sends next follows from the seed, however long its answers take."""

import asyncio
import json
import time
from typing import Any

import pytest

from tests.chaos.client import Client
from tests.chaos.driver import Item, Shared
from tests.chaos.http1 import NOTHING, Reply
from tests.chaos.journal import Attempt, Part, Request
from tests.chaos.roster import Role

Sent = tuple[str, Request]


class Answers:
    """An honest service, in a few lines; each request is lost so many times before it is answered."""

    def __init__(self, losses: int) -> None:
        self.losses, self.step, self.seen = losses, 0, dict[tuple[Request, str], Reply]()
        self.http = self

    async def abandon(self, *_: object) -> None:
        """A request that never arrived."""

    async def send_many(self, items: list[Item], **_: Any) -> None:
        for item in items:
            await self.send(item.part, item.body["session_id"], item.body)

    async def send(self, part: Part, path: str, body: object, *, method: str = "POST", **_: Any) -> None:
        now = time.monotonic()
        # What is lost of creations and forks, makes a client leave their sessions.
        part.attempts += [Attempt(now, now, NOTHING)] * (self.losses if part.request.content else 0)
        part.attempts.append(Attempt(now, now, self.answer(part.request, method, path)))

    def answer(self, request: Request, method: str, path: str) -> Reply:
        if path == "/v1/sessions":
            self.step, self.seen = 0, {}
            return Reply(201, b'{"id": "ses_x", "step": 0}')
        if path.endswith("/fork"):
            return Reply(201, json.dumps({"id": "ses_x", "step": self.step}).encode())
        if method == "DELETE":
            return Reply(204)
        if request.content is None or "predict" in path:
            return Reply(200, json.dumps({"step": self.step}).encode())
        if (request, path) not in self.seen:
            self.step += 1
            self.seen[request, path] = Reply(200, json.dumps({"step": self.step}).encode())
        return self.seen[request, path]


def sent_by(seed: int, losses: int, fleet: int = 1) -> list[Sent]:
    shared = Shared(until=0.0)
    client = Client(0, seed, Role("adder", fleet=fleet), Answers(losses), shared)  # type: ignore[arg-type]

    async def work() -> None:
        for _ in range(60):
            client.turn()
            await client.act()
            for stream in client.streams:
                assert stream is not None
                stream.leave_at = 1000  # a lost answer makes a client leave sooner

    asyncio.run(work())
    events = [event for session in shared.sessions for event in session.events]
    return [(event.kind, part.request) for event in events for part in event.parts]


@pytest.mark.parametrize("fleet", [1, 3])
def test_the_same_seed_sends_the_same_whatever_is_lost_on_the_way(fleet: int) -> None:
    assert sent_by(3, losses=0, fleet=fleet) == sent_by(3, losses=2, fleet=fleet)


def test_another_seed_sends_something_else() -> None:
    assert sent_by(3, losses=0) != sent_by(4, losses=0)
