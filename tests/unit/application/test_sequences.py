"""Sequences: sessions under names of their clients, in order, across workers."""

import asyncio
import json
from typing import Any

import pytest

from service.application.sequences import Sequence, Sequences
from service.application.sessions.creation import SessionFactory
from service.domain.errors import InvalidRequest, SessionNotFound, StepConflict
from tests.unit.application.world import World, feed, folded


def sequences_of(world: World) -> Sequences:
    creations = SessionFactory(
        engine=world.engine, store=world.store, observer=world.observer, clock=world.clock, durability="memory"
    )
    return Sequences(engine=world.engine, creations=creations, steps=world.steps)


async def send(world: World, *ids: int, name: int | str = 7, **flags: Any) -> dict[str, Any]:
    model = world.engine.versions()[0]
    answer = await sequences_of(world).apply(world.context(), model, Sequence(name, **flags), feed(*ids))
    return json.loads(answer.body) | {"replayed": answer.replayed}


async def test_a_sequence_continues_on_another_worker() -> None:
    world = World()
    other = World(world.store)
    await send(world, 1, 2, start=True)
    assert (await send(other, 3))["output"] == {"value": folded(1, 2, 3)}
    assert (await send(world, 4))["step"] == 3


async def test_overlapping_requests_keep_their_order() -> None:
    world = World()
    requests = [send(world, 1, start=True), *(send(world, index) for index in range(2, 9)), send(world, 9, end=True)]
    answers = await asyncio.gather(*requests, send(world, 5, start=True))
    assert [answer["step"] for answer in answers] == [*range(1, 10), 1]
    assert answers[-2]["output"] == {"value": folded(*range(1, 10))}
    assert answers[-1]["output"] == {"value": folded(5)}


async def test_a_step_waits_for_a_start_that_is_on_its_way() -> None:
    world = World()
    early = asyncio.create_task(send(world, 2))
    await asyncio.sleep(0.01)
    await send(world, 1, start=True)
    assert (await early)["output"] == {"value": folded(1, 2)}


async def test_a_sequence_that_has_not_begun_is_not_found() -> None:
    world = World()
    with pytest.raises(SessionNotFound, match="must specify the START flag on the first request of the sequence"):
        await send(world, 1)
    await send(world, 1, start=True, end=True)
    with pytest.raises(SessionNotFound, match="START"):
        await send(world, 1, end=True)


async def test_a_start_in_place_of_a_live_sequence_is_counted() -> None:
    world = World()
    for _ in range(3):
        assert (await send(world, 1, start=True))["output"] == {"value": folded(1)}
    assert world.observer.counts["ended restarted"] == 2


async def test_a_start_that_names_its_step_replaces_no_live_sequence() -> None:
    world = World()
    first = await send(world, 1, start=True, step=0)
    assert await send(world, 1, start=True, step=0) == first | {"replayed": True}
    await send(world, 2, step=1)
    with pytest.raises(StepConflict):
        await send(world, 1, start=True, step=0)
    with pytest.raises(InvalidRequest, match="expected 0 with sequence_start"):
        await send(world, 1, start=True, step=1)


async def test_an_end_that_is_repeated_before_its_session_ended_ends_it() -> None:
    world = World()
    await send(world, 1, start=True, step=0)
    last = await send(world, 2, step=1)
    assert await send(world, 2, step=1, end=True) == last | {"replayed": True}
    with pytest.raises(SessionNotFound):
        await send(world, 3)


async def test_numbers_and_texts_are_different_names() -> None:
    world = World()
    await send(world, 1, name=42, start=True)
    with pytest.raises(SessionNotFound):
        await send(world, 1, name="42")
