"""What clients do with a session, and how they misbehave.

Every act writes down in the journal what it sent and what came back; a client does one after the other.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.chaos import contents
from tests.chaos.acting import Acting
from tests.chaos.contents import Generation, Reset
from tests.chaos.driver import Item
from tests.chaos.http1 import NOTHING
from tests.chaos.journal import Attempt, Kind, Part, Request
from tests.chaos.stream import Stream


def request_of(client: Acting, stream: Stream, *, marks: str | None = None, generate: bool = True) -> Request:
    """A fresh request that advances a session, marked by its `step`, by a key or by both."""
    if marks is None:
        marks = client.choose.choice(["step", "both"] if stream.must_mark else ["key", "step", "both"])
    content = contents.choose(stream.session.model, client.choose, client.serial(), generate=generate)
    return Request(content, None if marks == "key" else stream.step, None if marks == "step" else client.key())


async def step(client: Acting, stream: Stream) -> None:
    part = Part(request_of(client, stream))
    give_up = client.choose.random() < 0.3
    await client.driver.send(part, *stream.to_step(part.request), given_up=lambda: give_up and part.refused)
    stream.note("step", part)


async def duplicate(client: Acting, stream: Stream) -> None:
    """The same request twice at the same moment, as a client that hedges does."""
    client.shared.faults["request duplicated"] += 1
    request = request_of(client, stream)
    twins = [Part(request), Part(request)]
    await asyncio.gather(*(client.driver.send(twin, *stream.to_step(request)) for twin in twins))
    stream.note("twin", *twins)


async def reset(client: Acting, stream: Stream) -> None:
    """Go back to state 0 or to a kept step, now and then twice at once; only a key can mark it."""
    lowest = max(stream.base, stream.step - stream.session.kept)
    at = client.choose.randint(lowest, stream.step) if stream.session.kept and client.choose.random() < 0.6 else None
    request = Request(Reset(at), key=client.key())
    twins = [Part(request) for _ in range(client.choose.choice([1, 1, 2]))]
    await asyncio.gather(*(client.driver.send(twin, *stream.to_step(twin.request)) for twin in twins))
    stream.note("twin" if len(twins) == 2 else "step", *twins)


async def again(client: Acting, stream: Stream) -> None:
    """The last request again, as a client does that lost the answer."""
    if not stream.stepped:
        return await step(client, stream)
    return await _repeat(client, stream, stream.stepped[-1])


async def late(client: Acting, stream: Stream) -> None:
    """A request that was answered some steps ago, again."""
    if len(stream.stepped) < 2:
        return await step(client, stream)
    client.shared.faults["request late"] += 1
    return await _repeat(client, stream, client.choose.choice(stream.stepped[:-1]))


async def _repeat(client: Acting, stream: Stream, request: Request) -> None:
    part = Part(request)
    await client.driver.send(part, *stream.to_step(request))
    stream.note("late", part)


async def group(client: Acting, stream: Stream) -> None:
    """Different requests at once: their order is the server's choice, and every one tells its place."""
    client.shared.faults["requests reordered"] += 1
    parts = [Part(request_of(client, stream, marks="key")) for _ in range(client.choose.randint(2, 3))]
    if client.choose.random() < 0.2:
        parts.append(Part(Request(Reset(), key=client.key())))
    await asyncio.gather(*(client.driver.send(part, *stream.to_step(part.request)) for part in parts))
    stream.note("group", *parts)


async def queue(client: Acting, stream: Stream) -> None:
    """Different requests in one body, which the server applies in their order."""
    parts = [Part(request_of(client, stream, marks="key", generate=False)) for _ in range(3)]
    await client.driver.send_many([Item(part, stream.item(part.request)) for part in parts])
    stream.note("queue", *parts)


async def abandon(client: Acting, stream: Stream) -> None:
    """Send a request and go away; what follows must carry a step, so that it learns what became of it."""
    client.shared.faults["request abandoned"] += 1
    part = Part(request_of(client, stream, marks="both"))
    path, body = stream.to_step(part.request)
    sent = time.monotonic()
    share, seconds = client.choose.choice([0.5, 1.0, 1.0, 1.0]), client.choose.choice([0.0, 0.002, 0.02])
    await client.driver.http.abandon(path, body, part.request.key, share, seconds)
    part.attempts.append(Attempt(sent, time.monotonic(), NOTHING))
    stream.note("abandoned", part)


async def pause(client: Acting, stream: Stream) -> None:
    """Let a session expire, which lives for a moment only."""
    client.shared.faults["expiry during a pause"] += 1
    # A second more, should it have been renewed by PATCH.
    await asyncio.sleep(stream.session.ttl + client.choose.choice([0.2, 1.2]))
    await step(client, stream)


async def look(client: Acting, stream: Stream) -> None:
    """What a step would answer: as it stands, or after something more, or as text that is not committed."""
    content = None
    if stream.session.model in contents.NEEDS_INPUT or client.choose.random() < 0.5:
        content = contents.choose(stream.session.model, client.choose, client.serial())
    body: dict[str, Any] = {"options": contents.OPTIONS[stream.session.model]}
    if content is not None:
        body = contents.body_of(content, stream.session.model)
    if isinstance(content, Generation):
        await _ask(client, stream, "look", "POST", "/generate", body | {"commit": False}, content)
    else:
        await _ask(client, stream, "look", "POST", "/predict", body, content)


async def get(client: Acting, stream: Stream) -> None:
    await _ask(client, stream, "get", "GET", "", None)


async def patch(client: Acting, stream: Stream) -> None:
    """A longer life; the same one each time, so that no late one takes anything back."""
    await _ask(client, stream, "patch", "PATCH", "", {"ttl_seconds": stream.session.ttl + 1})


async def reopen(client: Acting, stream: Stream) -> None:
    """The creation again, with its key: the session is there."""
    if stream.creation is None:
        return await step(client, stream)
    body, key = stream.creation
    part = Part(Request(key=key))
    await client.driver.send(part, "/v1/sessions", body)
    return stream.note("reopen", part)


async def delete(client: Acting, stream: Stream) -> None:
    await _ask(client, stream, "delete", "DELETE", "", None)
    await get(client, stream)


async def _ask(
    client: Acting,
    stream: Stream,
    kind: Kind,
    method: str,
    suffix: str,
    body: object,
    content: contents.Content | None = None,
) -> None:
    part = Part(Request(content))
    await client.driver.send(part, f"{stream.path}{suffix}", body, method=method)
    stream.note(kind, part)


Act = Callable[[Acting, Stream], Awaitable[None]]
#: What a client does next with a session, and how often; beginnings.py adds to it.
ACTS: dict[str, tuple[float, Act]] = {
    "step": (0.49, step),
    "reset": (0.04, reset),
    "duplicate": (0.08, duplicate),
    "again": (0.04, again),
    "group": (0.07, group),
    "queue": (0.03, queue),
    "late": (0.05, late),
    "abandon": (0.06, abandon),
    "pause": (0.02, pause),
    "look": (0.05, look),
    "get": (0.02, get),
    "patch": (0.01, patch),
    "reopen": (0.01, reopen),
    "delete": (0.01, delete),
}
