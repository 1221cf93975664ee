"""Admission, deadlines, digests, health."""

import asyncio
import json
from dataclasses import dataclass

import pytest

from service.application.admission import Admission
from service.application.deadlines import Deadline
from service.application.health import Health
from service.application.sessions.request_digest import digest
from service.application.sessions.serializers import encode
from service.domain.errors import Applied, DeadlineExceeded, Overloaded, ShuttingDown, StoreUnavailable
from service.domain.operations import GenerateOptions, PredictOptions, TextInput
from tests.fakes import AddingEngine, CountingObserver, ManualClock, MemoryStore


def admitted(admission: Admission, count: int) -> None:
    for _ in range(count):
        admission.enter()


def done(admission: Admission, clock: ManualClock, count: int, seconds: float = 0.01) -> None:
    for _ in range(count):
        clock.seconds += seconds
        admission.leave()


def test_who_cannot_be_answered_in_time_is_refused_at_once() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 300)
    done(admission, clock, 100)
    with pytest.raises(Overloaded) as refusal:
        admission.enter(1.0)
    assert "200 requests are under way, which take about 2.0 s" in refusal.value.message
    assert admission.under_way == 200
    admission.enter(10.0)
    done(admission, clock, 156)
    admission.enter(1.0)
    with pytest.raises(Overloaded):
        admission.enter(0.5)


def test_who_goes_unanswered_says_nothing_of_how_fast_a_worker_is() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 300)
    done(admission, clock, 60)
    for _ in range(100):
        admission.leave(answered=False)
    with pytest.raises(Overloaded) as refusal:
        admission.enter(1.0)
    assert "140 requests are under way, which take about 1.4 s" in refusal.value.message


def test_a_worker_that_answers_nobody_in_time_admits_nobody() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 300)
    for _ in range(100):
        clock.seconds += 0.01
        admission.leave(answered=False)
    with pytest.raises(Overloaded):
        admission.enter(10.0)


def test_a_worker_with_little_to_do_refuses_nobody_for_its_slowness() -> None:
    clock = ManualClock()
    admission = Admission(1000, clock.monotonic)
    admitted(admission, 4)
    done(admission, clock, 3, seconds=5)
    admitted(admission, 100)
    admission.enter(0.001)


def test_admission_refuses_at_once_past_its_limit_and_when_closed() -> None:
    admission = Admission(1)
    admission.enter()
    with pytest.raises(Overloaded) as refusal:
        admission.enter()
    assert refusal.value.retry_after == 1
    admission.leave()
    admission.close()
    with pytest.raises(ShuttingDown):
        admission.enter()
    assert admission.under_way == 0


def test_a_draining_worker_opens_no_session_and_admits_everything_else() -> None:
    admission = Admission(2)
    admission.drain()
    with pytest.raises(ShuttingDown) as refusal:
        admission.enter(opens_session=True)
    assert (refusal.value.applied, refusal.value.retry_after) == ("no", 1)
    admission.enter()
    assert admission.under_way == 1


async def test_a_deadline_cuts_the_wait_short_and_names_the_budget() -> None:
    with pytest.raises(DeadlineExceeded, match="within the 5 ms"):
        async with Deadline.after(ManualClock(), 0.005).enforce():
            await asyncio.Event().wait()


@pytest.mark.parametrize("applied", ["no", "unknown", "yes"])
async def test_a_request_that_is_cut_off_tells_what_took_effect(applied: Applied) -> None:
    async def wait() -> None:
        async with Deadline.after(ManualClock(), 60).enforce(applied):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ShuttingDown) as refusal:
        await task
    assert refusal.value.applied == applied


def test_digests_differ_by_value_and_by_kind() -> None:
    text = TextInput(text="a")
    digests = [
        digest("step", text),
        digest("create", text),
        digest("step", TextInput(tokens=("a",))),
        digest("step", TextInput(text="b")),
        digest("step", PredictOptions(top_k=1)),
        digest("step", GenerateOptions(top_k=1)),
    ]
    assert len(set(digests)) == len(digests)
    assert {len(one) for one in digests} == {16}


def test_a_field_that_later_releases_add_does_not_change_a_digest() -> None:
    @dataclass(frozen=True)
    class Old:
        text: str

    @dataclass(frozen=True)
    class New:
        text: str
        added: int = 3

    New.__name__ = "Old"
    assert digest("step", Old("a")) == digest("step", New("a"))
    assert digest("step", Old("a")) != digest("step", New("a", 4))


def test_answers_never_hold_a_number_that_is_not_finite() -> None:
    for number in ("nan", "inf", "-inf"):
        with pytest.raises(ValueError, match="not JSON compliant"):
            encode({"x": [{"y": float(number)}]})


def test_answers_hold_any_text() -> None:
    for text in ("NaN", "Infinity", "-Infinity", "ü \u2028 \0 \U0001f600", '"\\', ""):
        for number in (0.1, 1e-7, 1e22, 5e-324, -0.0, 2**70, True, None):
            value = {text: [text, number, {"tokens": []}]}
            assert json.loads(encode(value)) == value
    assert json.loads(encode({"half": "\ud800"})) == {"half": "?"}


async def test_readiness_is_degraded_without_the_store_and_unavailable_without_the_engine() -> None:
    engine, store, admission = AddingEngine(), MemoryStore(), Admission(1)
    health = Health(engine, store, admission, CountingObserver())
    assert (await health.readiness()).ready
    store.failure = StoreUnavailable("away")
    degraded = await health.readiness()
    assert (degraded.ready, degraded.report["status"]) == (False, "degraded")
    engine.alive = False
    unavailable = await health.readiness()
    assert (unavailable.ready, unavailable.report["status"]) == (False, "unavailable")


async def test_readiness_is_draining_as_soon_as_the_worker_was_told_to_go() -> None:
    admission = Admission(1)
    health = Health(AddingEngine(), MemoryStore(), admission, CountingObserver())
    admission.drain()
    readiness = await health.readiness()
    assert (readiness.ready, readiness.report["status"]) == (False, "draining")
