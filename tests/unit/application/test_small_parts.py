"""Admission, deadlines, digests, health."""

import asyncio
from dataclasses import dataclass

import pytest

from service.application.admission import Admission
from service.application.deadlines import Deadline
from service.application.digests import digest
from service.application.health import Health
from service.application.views import encode
from service.errors import DeadlineExceeded, Overloaded, ShuttingDown, StoreUnavailable
from service.types import GenerateOptions, PredictOptions, TextInput
from tests.fakes import AddingEngine, CountingObserver, ManualClock, MemoryStore


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


def test_a_deadline_cuts_the_wait_short_and_names_the_budget() -> None:
    async def scene() -> None:
        with pytest.raises(DeadlineExceeded, match="within the 5 ms"):
            async with Deadline.after(ManualClock(), 0.005).bounding():
                await asyncio.Event().wait()

    asyncio.run(scene())


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
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"x": float("nan")})


def test_readiness_is_degraded_without_the_store_and_unavailable_without_the_engine() -> None:
    async def scene() -> None:
        engine, store, admission = AddingEngine(), MemoryStore(), Admission(1)
        health = Health(engine, store, admission, CountingObserver())
        assert (await health.readiness()).ready
        store.failure = StoreUnavailable("away")
        degraded = await health.readiness()
        assert (degraded.ready, degraded.report["status"]) == (False, "degraded")
        engine.alive = False
        unavailable = await health.readiness()
        assert (unavailable.ready, unavailable.report["status"]) == (False, "unavailable")

    asyncio.run(scene())
