"""Readiness of a worker."""

from service.application.health import Health
from service.application.limits.admission import Admission
from service.application.model_versions.resolver import VersionResolver
from service.domain.errors import StoreUnavailable
from tests.fakes import AddingEngine, CountingObserver, MemoryStore


async def test_readiness_is_degraded_without_the_store_and_unavailable_without_the_engine() -> None:
    engine, store, admission = AddingEngine(), MemoryStore(), Admission(1)
    health = Health(engine, VersionResolver(engine), store, admission, CountingObserver())
    assert (await health.readiness()).ready
    store.failure = StoreUnavailable("away")
    degraded = await health.readiness()
    assert (degraded.ready, degraded.report["status"]) == (False, "degraded")
    engine.alive = False
    unavailable = await health.readiness()
    assert (unavailable.ready, unavailable.report["status"]) == (False, "unavailable")


async def test_readiness_is_draining_as_soon_as_the_worker_was_told_to_go() -> None:
    admission = Admission(1)
    health = Health(AddingEngine(), VersionResolver(AddingEngine()), MemoryStore(), admission, CountingObserver())
    admission.drain()
    readiness = await health.readiness()
    assert (readiness.ready, readiness.report["status"]) == (False, "draining")
