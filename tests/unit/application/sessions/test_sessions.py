"""The life of a session."""

import asyncio
from typing import Any

import pytest

from service.application.predictions import Predictions
from service.application.sessions.sessions import NewSession
from service.application.sessions.state_transfer import StateImport
from service.application.sessions.step_item import Step
from service.domain.errors import (
    DeadlineExceeded,
    DurabilityNotReached,
    IdempotencyKeyReused,
    InvalidRequest,
    ModelNotFound,
    SessionEnded,
    VersionNotFound,
)
from service.domain.sessions import Record
from tests.fakes import MemoryStore, model_version
from tests.unit.application.world import World, feed, folded

WANTED = NewSession("adder", None, 3600, "memory", 0)


async def test_a_new_session_stands_at_step_0_of_the_newest_version() -> None:
    world = World()
    world.engine.known = [model_version(), model_version(version="2")]
    created = await world.sessions.create(world.context(), WANTED, None)
    expected = {"model": "adder", "version": "2", "task": "next-word", "step": 0, "timesteps": 0, "state_bytes": 8}
    assert expected.items() <= created.session.items()
    assert not created.replayed
    assert await world.sessions.get(world.context(), str(created.session["id"])) == created.session


async def test_times_are_told_in_rfc_3339_utc() -> None:
    world = World()
    world.clock.milliseconds = 1_795_000_000_123
    session = (await world.sessions.create(world.context(), WANTED, None)).session
    assert session["created_at"] == "2026-11-18T11:06:40.123Z"
    assert session["expires_at"] == "2026-11-18T12:06:40.123Z"


async def test_a_keyed_create_finds_the_same_session_again_even_after_steps() -> None:
    world = World()
    first = await world.sessions.create(world.context(), WANTED, "key")
    await world.step(str(first.session["id"]), 1)
    again = await world.sessions.create(world.context(), WANTED, "key")
    assert again.session["id"] == first.session["id"]
    assert (again.replayed, again.session["step"]) == (True, 1)
    assert world.observer.counts["created"] == 1


class UnconfirmedStore(MemoryStore):
    """A store that writes what its replicas do not confirm."""

    async def create(self, tenant: str, session_id: str, record: Record) -> Record:
        await super().create(tenant, session_id, record)
        raise DurabilityNotReached("0 replicas confirmed the write", applied="yes", step=0)


@pytest.mark.parametrize(("key", "applied", "left"), [(None, "no", 0), ("key", "yes", 1)])
async def test_a_creation_that_is_not_durable_stays_only_if_it_can_be_asked_for_again(
    key: str | None, applied: str, left: int
) -> None:
    world = World(UnconfirmedStore())
    with pytest.raises(DurabilityNotReached) as refused:
        await world.sessions.create(world.context(), WANTED, key)
    assert refused.value.applied == applied
    assert len(world.store.records) == left


async def test_a_create_key_with_another_body_is_refused_and_another_tenants_is_another_session() -> None:
    world = World()
    first = await world.sessions.create(world.context(), WANTED, "key")
    with pytest.raises(IdempotencyKeyReused):
        await world.sessions.create(world.context(), NewSession("adder", None, 60, "memory", 0), "key")
    other = await world.sessions.create(world.context("somebody"), WANTED, "key")
    assert other.session["id"] != first.session["id"]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (NewSession("nothing", None, 60, "memory", 0), ModelNotFound),
        (NewSession("adder", "9", 60, "memory", 0), VersionNotFound),
    ],
)
async def test_a_session_of_an_unknown_model_is_refused(wanted: NewSession, error: type[Exception]) -> None:
    with pytest.raises(error):
        await World().sessions.create(World().context(), wanted, None)


async def test_a_fork_goes_its_own_way_and_repeats_nothing_of_its_parents_answers() -> None:
    world = World()
    parent = await world.session()
    await world.step(parent, 1, step=0, key="k")
    child = str((await world.sessions.fork(world.context(), parent, None, None, None)).session["id"])
    assert (await world.step(child, 2, key="k"))["output"] == {"value": folded(1, 2)}
    assert (await world.step(parent, 3))["output"] == {"value": folded(1, 3)}


async def test_a_fork_starts_from_a_kept_step_and_names_those_that_are_kept() -> None:
    world = World()
    parent = await world.session(kept_steps=2)
    for index in range(4):
        await world.step(parent, index)
    fork = (await world.sessions.fork(world.context(), parent, 2, 60, None)).session
    assert {"step": 2, "timesteps": 2, "ttl_seconds": 60}.items() <= fork.items()
    assert (await world.step(str(fork["id"]), 9))["output"] == {"value": folded(0, 1, 9)}
    with pytest.raises(InvalidRequest, match=r"step is 1: expected one of \[2, 3, 4\]"):
        await world.sessions.fork(world.context(), parent, 1, None, None)


async def test_a_keyed_fork_finds_the_same_child_again_although_the_parent_moved_on() -> None:
    world = World()
    parent = await world.session()
    first = await world.sessions.fork(world.context(), parent, None, None, "key")
    await world.step(parent, 1)
    again = await world.sessions.fork(world.context(), parent, None, None, "key")
    assert again.session == first.session
    assert again.replayed


async def test_renewing_counts_from_now_and_steps_renew_by_the_sessions_own_time() -> None:
    world = World()
    session_id = await world.session()
    world.clock.milliseconds = 2_000_000
    renewed = await world.sessions.renew(world.context(), session_id, 10)
    assert (renewed["ttl_seconds"], renewed["expires_at"]) == (10, "1970-01-01T00:33:30.000Z")
    world.clock.milliseconds = 2_005_000
    assert (await world.step(session_id, 1))["expires_at"] == "1970-01-01T00:33:35.000Z"


async def test_a_listing_shows_ones_own_sessions_only() -> None:
    world = World()
    own = await world.session()
    await world.sessions.create(world.context("somebody"), WANTED, None)
    page: Any = await world.sessions.list(world.context(), None, 10, None)
    assert [one["id"] for one in page["data"]] == [own]


async def test_an_ended_session_stays_ended() -> None:
    world = World()
    created = await world.sessions.create(world.context(), WANTED, "key")
    await world.sessions.end(world.context(), str(created.session["id"]))
    with pytest.raises(SessionEnded):
        await world.sessions.create(world.context(), WANTED, "key")
    assert world.observer.counts["ended deleted"] == 1


async def test_creations_that_race_with_one_key_in_one_millisecond_make_one_session() -> None:
    world = World()
    created = await asyncio.gather(*(world.sessions.create(world.context(), WANTED, "key") for _ in range(8)))
    assert len({str(one.session["id"]) for one in created}) == 1
    assert [one.replayed for one in created].count(False) == 1
    assert world.observer.counts["created"] == 1


async def test_a_keyed_fork_is_found_again_after_its_parent_ended() -> None:
    world = World()
    parent = await world.session(kept_steps=1)
    await world.step(parent, 1)
    first = await world.sessions.fork(world.context(), parent, 0, None, "key")
    await world.sessions.end(world.context(), parent)
    assert (await world.sessions.fork(world.context(), parent, 0, None, "key")).session == first.session


async def test_a_keyed_create_is_found_again_although_its_model_is_gone() -> None:
    world = World()
    first = await world.sessions.create(world.context(), WANTED, "key")
    world.engine.known = []
    again = await world.sessions.create(world.context(), WANTED, "key")
    assert (again.session["id"], again.replayed) == (first.session["id"], True)


async def test_nobody_waits_longer_than_the_deadline_for_a_look_that_hangs() -> None:
    world = World()
    session = await world.session()
    content = (await world.transfers.export(world.context(), session)).content
    world.engine.known = []

    async def hang() -> None:
        await asyncio.Event().wait()

    world.sessions.models.refresh = hang
    predictions, context = Predictions(world.sessions.models, world.operations), world.context(seconds=0.01)
    for refused in (
        world.sessions.create(context, WANTED, None),
        world.sessions.fork(context, session, None, None, None),
        world.steps.apply(context, Step(session, feed(1))),
        world.steps.peek(context, Step(session, feed(1))),
        world.transfers.export(context, session),
        world.transfers.import_state(context, StateImport(content, 3600, None, 0), None),
        predictions.predict_one(context, "adder", None, feed(1)),
        predictions.predict_many(context, "adder", "1", [feed(1)]),
    ):
        with pytest.raises(DeadlineExceeded) as told:
            await refused
        assert told.value.applied == "no"
