"""Resets: steps that feed nothing and lead back, exactly once and in order."""

import asyncio
import json
from typing import Any

import pytest

from service.application.sessions.step_item import ResetStep
from service.domain.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    StepConflict,
    StoreUnavailable,
)
from service.domain.operations import OpenSession, Operation, Outcome, Reset
from tests.fakes import AddingEngine
from tests.unit.application.world import World, folded


class SourceEngine(AddingEngine):
    """Sessions whose state 0 is computed: here a thousand more than their state."""

    def __init__(self) -> None:
        super().__init__()
        self.has_start = False

    async def compute_outcome(self, operation: Operation, state: bytes | None) -> Outcome:
        if not isinstance(operation, OpenSession):
            return await super().compute_outcome(operation, state)
        self.runs += 1
        assert operation.input is None
        return Outcome({}, (1000 + int.from_bytes(state or b"", "little")).to_bytes(8, "little"), timesteps=9)


async def reset(world: World, session_id: str, step: int | None = None, key: str | None = None) -> dict[str, Any]:
    answer = await world.steps.apply(world.context(), ResetStep(session_id, Reset(step), key))
    session: dict[str, Any] = json.loads(answer.body)
    return session | {"replayed": answer.replayed, "body": answer.body}


async def test_a_reset_is_a_step_of_no_timesteps_that_leads_to_state_0() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1, 2)
    session = await reset(world, session_id)
    assert {
        "id": session_id,
        "model": "adder",
        "task": "next-word",
        "step": 2,
        "timesteps": 2,
    }.items() <= session.items()
    stored = await world.sessions.get(world.context(), session_id)
    assert {name: session[name] for name in stored} == stored
    assert (await world.step(session_id, 3, step=2))["output"] == {"value": folded(3)}
    assert world.observer.counts["step applied"] == 3


async def test_a_reset_to_a_kept_step_goes_on_from_there_and_keeps_what_it_left() -> None:
    world = World()
    session_id = await world.session(kept_steps=2)
    for number in (1, 2, 3):
        await world.step(session_id, number)
    assert (await reset(world, session_id, 1))["step"] == 4
    assert (await world.step(session_id, 9))["output"] == {"value": folded(1, 9)}
    # Steps 3 and 4 are kept now: what the reset left, and where it led.
    assert (await reset(world, session_id, 3))["step"] == 6
    assert (await world.step(session_id, 9))["output"] == {"value": folded(1, 2, 3, 9)}


async def test_a_reset_to_a_step_that_is_not_kept_is_refused_and_changes_nothing() -> None:
    world = World()
    session_id = await world.session(kept_steps=1)
    for number in (1, 2):
        await world.step(session_id, number)
    for step in (0, 3):
        with pytest.raises(InvalidRequest) as refusal:
            await reset(world, session_id, step)
        assert (refusal.value.param, refusal.value.applied) == ("step", "no")
        assert f"step is {step}: expected one of [1, 2]" in refusal.value.message
    assert (await world.step(session_id, 3, step=2))["output"] == {"value": folded(1, 2, 3)}


async def test_a_repeated_reset_is_answered_byte_for_byte_and_not_applied_again() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1)
    first = await reset(world, session_id, key="k")
    world.clock.milliseconds += 5000
    again = await reset(world, session_id, key="k")
    assert (first["replayed"], again["replayed"], again["body"]) == (False, True, first["body"])
    await world.step(session_id, 4, key="l")
    with pytest.raises(StepConflict) as conflict:
        await reset(world, session_id, key="k")
    assert (conflict.value.applied, conflict.value.step) == ("yes", 3)
    assert (await world.step(session_id, 5))["output"] == {"value": folded(4, 5)}


async def test_a_key_of_a_reset_is_no_other_requests_key() -> None:
    world = World()
    session_id = await world.session(kept_steps=1)
    await world.step(session_id, 1)
    await reset(world, session_id, key="k")
    with pytest.raises(IdempotencyKeyReused):
        await reset(world, session_id, 1, key="k")
    with pytest.raises(IdempotencyKeyReused):
        await world.step(session_id, 1, key="k")


async def test_a_reset_without_a_key_is_applied_each_time() -> None:
    world = World()
    session_id = await world.session()
    assert [(await reset(world, session_id))["step"] for _ in range(3)] == [1, 2, 3]


async def test_steps_and_resets_of_a_session_are_applied_in_their_order() -> None:
    world = World()
    session_id = await world.session()
    answers = await asyncio.gather(
        world.step(session_id, 1), reset(world, session_id), world.step(session_id, 2), world.step(session_id, 3)
    )
    assert [answer["step"] for answer in answers] == [1, 2, 3, 4]
    assert answers[-1]["output"] == {"value": folded(2, 3)}


async def test_a_reset_that_lost_the_race_against_another_worker_is_applied_after_its_step() -> None:
    world = World()
    other = World(world.store)
    session_id = await world.session()
    await world.step(session_id, 1)
    world.hold_ready(session_id)
    await other.step(session_id, 2)
    assert (await reset(world, session_id))["step"] == 3
    assert (await other.step(session_id, 4))["output"] == {"value": folded(4)}


async def test_state_0_that_depends_on_the_sessions_input_is_computed_and_feeds_no_timestep() -> None:
    world = World(engine=SourceEngine())
    session_id = await world.session()
    await world.step(session_id, 7)
    session = await reset(world, session_id)
    assert (session["step"], session["timesteps"], world.engine.runs) == (2, 1, 2)
    assert (await world.step(session_id))["output"] == {"value": 1000 + folded(7)}


async def test_a_reset_that_cannot_be_stored_tells_whether_it_took_effect() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1)
    world.store.failure = StoreUnavailable("away", applied="no")
    with pytest.raises(StoreUnavailable) as refusal:
        await reset(world, session_id, key="k")
    assert refusal.value.applied == "no"
    world.store.failure = None
    assert (await reset(world, session_id, key="k"))["step"] == 2
