"""How sessions begin: opened, or forked from another one; both by keyed requests that are repeated at times."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.chaos.acting import Acting
from tests.chaos.acts import step
from tests.chaos.contents import choose_opening
from tests.chaos.journal import Event, Part, Request, Session
from tests.chaos.roster import SHORT_LIVED
from tests.chaos.stream import Stream

_KEPT_STEPS = (0, 0, 3, 8)


@dataclass(frozen=True, slots=True)
class _Creation:
    """A creation as the plan has it: the same one sent once or twice."""

    session: Session
    body: dict[str, Any]
    leave_at: int
    parts: list[Part]


async def open_sessions(client: Acting, places: list[int]) -> None:
    """Open a session in each of these places, all at the same moment."""
    await asyncio.gather(*(_open(client, place, _plan(client)) for place in places))


def _plan(client: Acting) -> _Creation:
    role, luck = client.role, client.choose
    kept = luck.choice(_KEPT_STEPS)
    opening = choose_opening(role.model, luck)
    body: dict[str, Any] = {"model": role.model, "durability": role.durability, "ttl_seconds": role.ttl}
    body |= {"kept_steps": kept} | ({} if opening is None else {"input": opening})
    session = Session("", role.model, role.durability, role.ttl, 0.0, 0.0, client.number, opening, kept=kept)
    request, twins = Request(key=client.key()), 2 if luck.random() < 0.2 else 1
    return _Creation(session, body, luck.randint(20, 400), [Part(request) for _ in range(twins)])


async def _open(client: Acting, place: int, plan: _Creation) -> None:
    client.shared.operations["create"] += 1
    await asyncio.gather(*(client.driver.send(part, "/v1/sessions", plan.body) for part in plan.parts))
    session, parts = plan.session, plan.parts
    session.sent, session.at = min(part.sent for part in parts), max(part.at for part in parts)
    client.shared.sessions.append(session)
    identities = {part.reply.json["id"] if part.reply.status == 201 else "" for part in parts}
    if len(identities) > 1 or "" in identities:
        session.events.append(Event("get", parts))
        return
    session.id = identities.pop()
    if session.ttl >= SHORT_LIVED or not any(part.lost for part in parts):
        # What may be created once more behind its own end, is left alone.
        client.streams[place] = Stream(session, plan.leave_at, (plan.body, parts[0].request.key))


async def fork(client: Acting, stream: Stream) -> None:
    """Fork a session, now and then twice at once, at this step or at a kept one.

    The copy takes its place, or is stepped once beside it: neither shows the other's steps.
    """
    luck, parent = client.choose, stream.session
    lowest = max(stream.base, stream.step - parent.kept)
    at = luck.randint(lowest, stream.step - 1) if lowest < stream.step and luck.random() < 0.6 else None
    body: dict[str, Any] = {"ttl_seconds": client.role.ttl} | ({} if at is None else {"step": at})
    request, twins = Request(step=at, key=client.key()), luck.choice([1, 1, 2])
    parts = [Part(request) for _ in range(twins)]
    await asyncio.gather(*(client.driver.send(part, f"{stream.path}/fork", body) for part in parts))
    stream.note("fork", *parts)
    last = parts[-1]
    if last.reply.status == 201:
        await _go_on(client, stream, parts, last.reply.json)
    else:
        stream.over = last.reply.status != 422


async def _go_on(client: Acting, stream: Stream, parts: list[Part], made: dict[str, Any]) -> None:
    parent, role, last = stream.session, client.role, parts[-1]
    child = Session(made["id"], role.model, role.durability, role.ttl, last.sent, last.at, client.number)
    child.parent, child.kept, child.opening = parent.id, parent.kept, parent.opening
    # A copy of a request that got lost may fork once more, from where the parent stands by then.
    child.loose = any(part.lost for part in parts)
    client.shared.sessions.append(child)
    if child.loose:
        return
    if client.choose.random() < 0.5:
        leave_at = client.choose.randint(20, 200)
        client.streams[client.streams.index(stream)] = Stream(child, leave_at, step=made["step"], base=made["step"])
    else:
        await step(client, Stream(child, 0, step=made["step"], base=made["step"]))
