"""Exactly once, in order, and honest about what took effect."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from service.application.deadlines import DEPARTED
from service.application.sessions.idempotency import REMEMBERED_KEYS
from service.application.sessions.step_item import Step
from service.domain.errors import (
    DeadlineExceeded,
    DurabilityNotReached,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    ModelVersionGone,
    SessionEnded,
    SessionExpired,
    SessionNotFound,
    ShuttingDown,
    StepConflict,
    StoreUnavailable,
    UnrollError,
)
from service.domain.operations import Generate, GenerateOptions, Predict, TextInput
from tests.fakes import MemoryStore, model_version
from tests.unit.application.world import World, feed, folded


async def test_each_step_continues_from_the_state_that_the_one_before_left() -> None:
    world = World()
    session_id = await world.session()
    first = await world.step(session_id, 1, 2)
    second = await world.step(session_id, 3)
    assert (first["step"], first["timesteps"], first["output"]) == (1, 2, {"value": folded(1, 2)})
    assert (second["step"], second["timesteps"], second["output"]) == (2, 3, {"value": folded(1, 2, 3)})


@pytest.mark.parametrize("marks", [{"key": "k"}, {"step": 0}, {"key": "k", "step": 0}])
async def test_a_repeated_request_is_answered_byte_for_byte_and_not_applied_again(marks: dict[str, Any]) -> None:
    world = World()
    session_id = await world.session()
    first = await world.step(session_id, 7, **marks)
    world.clock.milliseconds += 5000
    again = await world.step(session_id, 7, **marks)
    assert again["body"] == first["body"]
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert world.observer.counts["step applied"] == world.observer.counts["step replayed"] == 1
    assert world.engine.runs == 1


async def test_a_request_without_key_and_step_is_applied_each_time() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 7)
    assert (await world.step(session_id, 7))["step"] == 2


@pytest.mark.parametrize("other", [feed(8), feed(7, top_k=6), Generate(TextInput(ids=(7,)))])
async def test_the_last_key_with_another_body_is_refused(other: Predict | Generate) -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 7, key="k")
    with pytest.raises(IdempotencyKeyReused) as refusal:
        await world.steps.apply(world.context(), Step(session_id, other, key="k"))
    assert refusal.value.step == 1
    assert (await world.step(session_id, 1))["output"] == {"value": folded(7, 1)}


async def test_an_older_key_among_the_last_32_is_told_that_it_was_applied() -> None:
    world = World()
    session_id = await world.session()
    for number in range(REMEMBERED_KEYS + 1):
        await world.step(session_id, number, key=f"k{number}")
    with pytest.raises(StepConflict) as refusal:
        await world.step(session_id, 1, key="k1")
    assert (refusal.value.applied, refusal.value.step) == ("yes", REMEMBERED_KEYS + 1)
    assert (await world.step(session_id, 0, key="k0"))["step"] == REMEMBERED_KEYS + 2


async def test_an_older_key_is_remembered_across_steps_without_one() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1, key="k")
    await world.step(session_id, 2)
    with pytest.raises(StepConflict) as refusal:
        await world.step(session_id, 1, key="k")
    assert refusal.value.applied == "yes"


@pytest.mark.parametrize(
    ("step", "applied"),
    [(0, "unknown"), (1, "no"), (3, "no"), (99, "no")],
)
async def test_a_step_that_is_not_the_sessions_is_refused_with_the_real_one(step: int, applied: str) -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1, step=0)
    await world.step(session_id, 2, step=1)
    with pytest.raises(StepConflict) as refusal:
        await world.step(session_id, 9, step=step)
    assert (refusal.value.step, refusal.value.applied) == (2, applied)
    assert world.observer.counts["step conflict"] == 1


async def test_overlapping_steps_are_applied_in_arrival_order() -> None:
    world = World()
    session_id = await world.session()
    answers = await asyncio.gather(*(world.step(session_id, number) for number in range(20)))
    assert [answer["step"] for answer in answers] == list(range(1, 21))
    assert answers[-1]["output"] == {"value": folded(*range(20))}
    assert len(world.turns) == 0


async def test_a_lost_race_is_computed_again_from_the_fresh_state() -> None:
    store = MemoryStore()
    here, there = World(store), World(store)
    session_id = await here.session()
    answers = await asyncio.gather(
        *(worker.step(session_id, number) for number in range(10) for worker in (here, there))
    )
    assert sorted(answer["step"] for answer in answers) == list(range(1, 21))
    values = {answer["step"]: answer["output"]["value"] for answer in answers}
    order = [index for step in range(1, 21) for index in [(values[step] - 31 * values.get(step - 1, 0)) % 2**61]]
    assert sorted(order) == sorted([*range(10), *range(10)])


async def test_two_workers_that_race_with_one_key_apply_it_once() -> None:
    store = MemoryStore()
    here, there = World(store), World(store)
    session_id = await here.session()
    one, two = await asyncio.gather(here.step(session_id, 5, key="k"), there.step(session_id, 5, key="k"))
    assert one["body"] == two["body"]
    assert sorted([one["replayed"], two["replayed"]]) == [False, True]


async def test_a_write_whose_fate_is_unknown_is_told_so_and_its_repetition_replayed_or_applied_once() -> None:
    world = World()
    session_id = await world.session()

    def lose_the_answer() -> None:
        world.store.failure = StoreUnavailable("away", applied="unknown")

    world.engine.before_answer = lose_the_answer
    with pytest.raises(StoreUnavailable) as refusal:
        await world.step(session_id, 1, step=0)
    assert refusal.value.applied == "unknown"
    world.engine.before_answer, world.store.failure = None, None
    assert (await world.step(session_id, 1, step=0))["step"] == 1


async def test_a_step_that_was_not_durable_enough_is_replayed_after_waiting_again() -> None:
    world = World()
    session_id = await world.session(durability="fsynced")
    write = world.store.write

    async def written_but_not_confirmed(*arguments: Any) -> Any:
        await write(*arguments)
        raise DurabilityNotReached("0 of 1", applied="yes", step=1)

    world.store.write = written_but_not_confirmed  # type: ignore[method-assign]
    with pytest.raises(DurabilityNotReached):
        await world.step(session_id, 1, key="k")
    again = await world.step(session_id, 1, key="k")
    assert again["replayed"]
    assert world.store.confirmed == ["fsynced"]


async def test_a_refusal_waits_until_where_the_session_stands_is_durable() -> None:
    world = World()
    session_id = await world.session(durability="replicated")
    await world.step(session_id, 1, step=0, key="k")
    with pytest.raises(StepConflict) as conflict:
        await world.step(session_id, 2, step=0)
    assert (conflict.value.step, conflict.value.applied) == (1, "no")
    with pytest.raises(IdempotencyKeyReused):
        await world.step(session_id, 2, key="k")
    assert world.store.confirmed == ["replicated"] * 2


@pytest.mark.parametrize("failure", [DurabilityNotReached("0 of 1", applied="yes"), StoreUnavailable("away")])
async def test_where_a_session_stands_is_not_told_while_it_may_be_lost(failure: UnrollError) -> None:
    world = World()
    session_id = await world.session(durability="replicated")
    await world.step(session_id, 1, key="k")
    await world.step(session_id, 2)

    def refuse_with(error: UnrollError) -> None:
        async def confirm(*_: Any) -> None:
            raise error

        world.store.confirm = confirm  # type: ignore[method-assign]

    refuse_with(failure)
    with pytest.raises(StoreUnavailable) as refusal:
        await world.step(session_id, 3, step=9)
    assert (refusal.value.applied, refusal.value.step) == ("no", 2)
    refuse_with(failure.with_applied("yes"))
    with pytest.raises(type(failure)) as known:
        await world.step(session_id, 1, key="k")
    assert known.value.applied == "yes"


async def test_a_step_from_a_record_that_is_out_of_date_is_computed_again() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1)
    world.hold_ready(session_id)
    await world.step(session_id, 2)
    third = await world.step(session_id, 3)
    assert (third["step"], third["output"]) == (3, {"value": folded(1, 2, 3)})


async def test_where_a_sessions_version_is_not_loaded_the_store_tells_what_became_of_it() -> None:
    world = World()
    moved, ended = await world.session(), await world.session()
    for session_id in (moved, ended):
        world.hold_ready(session_id)
    await world.step(moved, 1)
    await world.sessions.end(world.context(), ended)
    world.engine.known = []
    with pytest.raises(ModelVersionGone) as gone:
        await world.step(moved, 2)
    assert gone.value.step == 1, "what is held says that it stands at 0"
    with pytest.raises(SessionEnded):
        await world.step(ended, 1)


async def test_what_is_not_a_new_step_is_answered_by_the_store_alone() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1, step=0)
    world.hold_ready(session_id)
    second = await world.step(session_id, 2, step=1, key="k")
    assert second["step"] == 2
    assert (await world.step(session_id, 3, step=2))["step"] == 3, "what is held says that it stands at 1"
    with pytest.raises(StepConflict) as conflict:
        await world.step(session_id, 1, step=0)
    assert conflict.value.step == 3, "what is held would repeat the first answer"


async def test_a_request_past_its_deadline_takes_no_effect() -> None:
    world = World()
    session_id = await world.session()
    world.engine.hold = asyncio.Event()
    with pytest.raises(DeadlineExceeded) as refusal:
        await world.steps.apply(world.context(seconds=0.01), Step(session_id, feed(1)))
    assert refusal.value.applied == "no"
    world.engine.hold = None
    assert (await world.step(session_id, 2))["step"] == 1


async def test_a_cancelled_request_does_not_block_those_behind_it() -> None:
    world = World()
    session_id = await world.session()
    world.engine.hold = asyncio.Event()
    first = asyncio.create_task(world.step(session_id, 1))
    second = asyncio.create_task(world.step(session_id, 2))
    third = asyncio.create_task(world.step(session_id, 3))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    world.engine.hold.set()
    assert (await third)["output"] == {"value": folded(3)}
    assert len(world.turns) == 0
    for cancelled in (first, second):
        with pytest.raises(ShuttingDown):
            await cancelled


async def depart(task: asyncio.Task[Any]) -> None:
    """Cancel what a client waits for that has gone, wherever it is."""
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel(DEPARTED)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_step_whose_client_has_gone_is_neither_applied_nor_counted_as_failed() -> None:
    world = World()
    sessions = [await world.session() for _ in range(3)]
    world.engine.hold = asyncio.Event()
    steps = [Step(session_id, feed(1)) for session_id in sessions]
    one, all_ = world.steps.apply(world.context(), steps[0]), world.steps.apply_all(world.context(), steps)
    # Of the many the first waits for its turn behind the one.
    for departed in (asyncio.create_task(one), asyncio.create_task(all_)):
        await depart(departed)
    world.engine.hold = None
    for session_id in sessions:
        assert (await world.step(session_id, 2))["step"] == 1
    assert {name: count for name, count in world.observer.counts.items() if "step" in name} == {"step applied": 3}
    assert len(world.turns) == 0


@pytest.mark.parametrize("failure", [InvalidRequest("no"), StoreUnavailable("away")])
async def test_a_step_that_fails_before_its_write_is_told_that_it_was_not_applied(failure: UnrollError) -> None:
    world = World()
    session_id = await world.session()
    world.engine.failure = failure
    with pytest.raises(type(failure)) as refusal:
        await world.step(session_id, 1)
    assert refusal.value.applied == "no"
    assert world.observer.counts["step failed"] == 1


async def test_sessions_of_another_tenant_and_forged_ids_do_not_exist() -> None:
    world = World()
    session_id = await world.session()
    for context, wanted in [
        (world.context("somebody"), session_id),
        (world.context(), session_id[:-1] + ("a" if session_id[-1] != "a" else "b")),
        (world.context(), "ses_"),
        (world.context(), "ses_" + "é" * 40),
        (world.context(), session_id.upper()),
    ]:
        with pytest.raises(SessionNotFound):
            await world.steps.apply(context, Step(wanted, feed(1)))


async def test_expired_and_ended_sessions_are_told_apart() -> None:
    world = World()
    expired, ended = await world.session(), await world.session()
    del world.store.records["public", expired]
    await world.sessions.end(world.context(), ended)
    with pytest.raises(SessionExpired):
        await world.step(expired, 1)
    with pytest.raises(SessionEnded):
        await world.step(ended, 1)
    with pytest.raises(SessionEnded):
        await world.sessions.end(world.context(), ended)


@pytest.mark.parametrize("now_served", [[], [model_version(fingerprint="cd" * 32)], [model_version(version="2")]])
async def test_state_is_never_fed_to_another_network(now_served: list[Any]) -> None:
    world = World()
    session_id = await world.session()
    world.engine.known = now_served
    with pytest.raises(ModelVersionGone):
        await world.step(session_id, 1)
    assert world.engine.runs == 0


async def test_many_steps_at_once_keep_the_order_of_each_session_and_fail_alone() -> None:
    world = World()
    one, two = await world.session(), await world.session()
    steps = [Step(one, feed(1)), Step(two, feed(5)), Step("ses_x", feed(1)), Step(one, feed(2)), Step(one, feed(3))]
    results = await world.steps.apply_all(world.context(), steps)
    assert isinstance(results[2], SessionNotFound)
    values = [json.loads(result.body)["output"]["value"] for result in results if not isinstance(result, UnrollError)]
    assert values == [folded(1), folded(5), folded(1, 2), folded(1, 2, 3)]


async def test_looking_ahead_leaves_the_session_as_it_is() -> None:
    world = World()
    session_id = await world.session()
    await world.step(session_id, 1)
    before = dict(world.store.records)
    answer = json.loads((await world.steps.peek(world.context(), Step(session_id, feed(2)))).body)
    assert answer["output"] == {"value": folded(1, 2)}
    assert answer["step"] == 1
    assert world.store.records == before


async def test_generation_is_one_step_of_as_many_timesteps_as_tokens() -> None:
    world = World()
    session_id = await world.session()
    operation = Generate(None, GenerateOptions(max_tokens=5))
    answer = await world.steps.apply(world.context(), Step(session_id, operation, step=0))
    assert {"step": 1, "timesteps": 5}.items() <= json.loads(answer.body).items()


async def test_a_write_that_outlasts_the_deadline_is_told_as_unknown_and_its_repetition_replayed() -> None:
    world = World()
    session_id = await world.session()
    world.store.slow = asyncio.Event()
    with pytest.raises(DeadlineExceeded) as refusal:
        await world.steps.apply(world.context(seconds=0.5), Step(session_id, feed(1), step=0))
    assert refusal.value.applied == "unknown"
    world.store.slow.set()
    assert (await world.step(session_id, 1, step=0))["step"] == 1
    assert (await world.step(session_id, 2, step=1))["output"] == {"value": folded(1, 2)}


async def test_an_accident_in_one_of_many_steps_does_not_hide_what_became_of_the_others() -> None:
    world = World()
    one, two = await world.session(), await world.session()
    broken = Predict(TextInput(ids=("x",)))  # type: ignore[arg-type]
    results = await world.steps.apply_all(world.context(), [Step(one, broken), Step(two, feed(1))])
    assert isinstance(results[0], InternalError)
    assert not isinstance(results[1], UnrollError)


async def test_looking_ahead_from_a_step_that_is_not_the_sessions_is_refused() -> None:
    world = World()
    session_id = await world.session()
    with pytest.raises(StepConflict):
        await world.steps.peek(world.context(), Step(session_id, feed(1), step=3))


async def test_a_record_names_the_arithmetic_of_its_last_step() -> None:
    world = World()
    session_id = await world.session()
    world.engine.known = [replace(one, dtype="int8") for one in world.engine.known]
    await world.step(session_id, 1)
    record = await world.store.read("public", session_id)
    assert record is not None
    assert record.dtype == "int8"
