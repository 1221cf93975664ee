"""Steps of many sessions in one request: each succeeds or fails for itself."""

import time

from tests.chaos.acting import Acting
from tests.chaos.acts import request_of
from tests.chaos.driver import Item
from tests.chaos.http1 import NOTHING
from tests.chaos.journal import Attempt, Part
from tests.chaos.stream import Stream

Fleet = list[tuple[Stream, Part]]


async def step_all(client: Acting, streams: list[Stream]) -> None:
    """Step all of them; at times with one for a session that never was among them, at times to go away at once."""
    abandons, strange, give_up = (client.choose.random() < share for share in (0.04, 0.05, 0.3))
    if abandons and not any(stream.must_mark for stream in streams):
        await _abandon_all(client, streams)
        return
    fleet = [(stream, Part(request_of(client, stream, generate=False))) for stream in streams]
    items = [Item(part, stream.item(part.request)) for stream, part in fleet]
    client.shared.operations["step of many"] += len(items)
    stranger = Part(request_of(client, streams[0], marks="key", generate=False))
    if strange:
        items.insert(1, Item(stranger, streams[0].item(stranger.request) | {"session_id": _foreign(streams[0])}))
    await client.driver.send_many(items, given_up=lambda part: give_up and part.refused)
    if strange and stranger.reply.status != 503:
        streams[0].note("stranger", stranger)
    for stream, part in fleet:
        stream.note("step", part)


async def _abandon_all(client: Acting, streams: list[Stream]) -> None:
    client.shared.operations["abandon"] += 1
    client.shared.faults["request abandoned"] += 1
    fleet = [(stream, Part(request_of(client, stream, marks="both", generate=False))) for stream in streams]
    body = {"steps": [stream.item(part.request) for stream, part in fleet]}
    sent, share = time.monotonic(), client.choose.choice([0.5, 1.0, 1.0])
    await client.driver.http.abandon("/v1/sessions/steps", body, None, share, client.choose.choice([0.0, 0.02]))
    for stream, part in fleet:
        part.attempts.append(Attempt(sent, time.monotonic(), NOTHING))
        stream.note("abandoned", part)


def _foreign(stream: Stream) -> str:
    """An id that this service never gave."""
    identity = stream.session.id
    return identity[:-1] + ("a" if identity[-1] != "a" else "b")
