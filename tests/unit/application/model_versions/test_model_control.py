"""Models that clients unload and load: who may, what all workers serve then, and what becomes of sessions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from service.application.deadlines import Deadline
from service.application.health import Health
from service.application.limits.admission import Admission
from service.application.model_versions.model_control import IndexEntry, ModelControl
from service.application.request_context import RequestContext
from service.domain.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    NotAllowed,
    StoreUnavailable,
)
from tests.fakes import MemoryStore
from tests.unit.application.model_versions.cluster import ONE, TWO, ClusterState, Disk, Worker
from tests.unit.application.world import session_on

READY = IndexEntry("adder", "1", "READY")
UNLOADED = IndexEntry("adder", "1", "UNAVAILABLE", "unloaded")


class Cluster:
    """Two workers on one disk; `running` has their reconcilers run beside the test."""

    def __init__(self) -> None:
        self.state, self.disk = ClusterState(), Disk([ONE])
        self.first, self.second = Worker(self.state, self.disk, "a"), Worker(self.state, self.disk, "b")
        self.workers = self.first, self.second

    async def start(self) -> None:
        for worker in self.workers:
            await worker.reconciler.start()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(worker.reconciler.run(0.02)) for worker in self.workers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def cluster() -> Cluster:
    cluster = Cluster()
    await cluster.start()
    return cluster


def control(worker: Worker, admins: frozenset[str] | None = None) -> ModelControl:
    return ModelControl(worker.models, worker.membership, admins)


def context(worker: Worker, tenant: str = "public") -> RequestContext:
    return RequestContext(tenant, Deadline.after(worker.clock, 30))


async def unload(worker: Worker, model: str = "adder") -> None:
    await control(worker).unload(context(worker), model, {})


async def load(worker: Worker, model: str = "adder") -> None:
    await control(worker).load(context(worker), model, {})


async def test_an_unload_ends_when_no_worker_serves_the_model(cluster: Cluster) -> None:
    async with cluster.running():
        await unload(cluster.first)
        for worker in cluster.workers:
            assert worker.loaded == []
            assert worker.observer.counts["unloaded adder"] == 1
            with pytest.raises(ModelNotFound, match="unloaded"):
                await worker.models.version("adder", None)
            with pytest.raises(ModelNotFound, match="unloaded"):
                await worker.models.version("adder", "1")


async def test_a_load_ends_when_all_workers_serve_the_model(cluster: Cluster) -> None:
    async with cluster.running():
        await unload(cluster.first)
        await load(cluster.second)
        for worker in cluster.workers:
            assert worker.loaded == ["1"]
            assert await worker.models.version("adder", "1") == ONE


async def test_the_worker_that_is_asked_unloads_before_its_next_pass(cluster: Cluster) -> None:
    del cluster.state.workers["b"]
    await unload(cluster.first)
    assert cluster.first.loaded == []


async def test_a_session_waits_for_its_model(cluster: Cluster) -> None:
    record = session_on(ONE)
    async with cluster.running():
        await unload(cluster.first)
        for worker in cluster.workers:
            assert worker.models.loaded(record) is None
            with pytest.raises(ModelNotReady, match="continues when it is loaded again") as error:
                await worker.models.version_for_session(record)
            assert (error.value.applied, error.value.step) == ("no", record.step)
        await load(cluster.first)
        for worker in cluster.workers:
            assert await worker.models.version_for_session(record) == ONE


async def test_a_model_stays_unloaded_whatever_its_folder_gets(cluster: Cluster) -> None:
    async with cluster.running():
        await unload(cluster.first)
        cluster.disk.versions = [TWO, ONE]
        await asyncio.sleep(0.2)
        assert cluster.first.loaded == []
        await load(cluster.first)
        await asyncio.sleep(0.2)
        assert cluster.first.loaded == cluster.second.loaded == ["1", "2"]


async def test_a_version_that_was_being_loaded_does_not_serve_an_unloaded_model(cluster: Cluster) -> None:
    del cluster.state.workers["b"]
    cluster.disk.versions, cluster.disk.proceed = [TWO, ONE], asyncio.Event()
    (folder,) = (await cluster.first.reconciler.reconcile()).awaited
    loading = asyncio.create_task(cluster.first.reconciler.load(folder))
    await asyncio.sleep(0)
    await unload(cluster.first)
    cluster.disk.proceed.set()
    await loading
    assert cluster.first.loaded == []
    counts = cluster.first.observer.counts
    assert counts["loaded adder"] == counts["unloaded adder"] == 2


async def test_a_worker_that_starts_does_not_load_what_is_unloaded(cluster: Cluster) -> None:
    del cluster.state.workers["b"]
    await unload(cluster.first)
    late = Worker(cluster.state, cluster.disk, "c")
    await late.reconciler.start()
    assert late.loaded == []
    assert control(late).index(context(late)) == [UNLOADED]


async def test_a_worker_whose_models_are_all_unloaded_is_ready_to_load_them(cluster: Cluster) -> None:
    del cluster.state.workers["b"]
    worker = cluster.first
    health = Health(worker.engine, worker.models, MemoryStore(), Admission(1), worker.observer)
    await unload(worker)
    assert (await health.readiness()).ready


async def test_the_index_names_unloaded_versions_unless_it_is_asked_for_ready_ones(cluster: Cluster) -> None:
    assert control(cluster.first).index(context(cluster.first)) == [READY]
    async with cluster.running():
        await unload(cluster.first)
        assert control(cluster.second).index(context(cluster.second)) == [UNLOADED]
        assert control(cluster.second).index(context(cluster.second), ready=True) == []


async def test_an_unload_may_be_repeated_and_so_may_a_load(cluster: Cluster) -> None:
    async with cluster.running():
        for action in (unload, unload, load, load):
            await action(cluster.first)
    assert cluster.first.loaded == ["1"]


async def test_a_model_without_a_folder_is_not_found(cluster: Cluster) -> None:
    for action in (unload, load):
        with pytest.raises(ModelNotFound, match="nothing"):
            await action(cluster.first, "nothing")
    assert cluster.state.unloaded == set()


async def test_a_worker_that_never_serves_the_model_delays_a_load_for_some_seconds_only(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.application.model_versions.model_control.MAX_OTHERS_SECONDS", 0.5)
    async with cluster.running():
        await unload(cluster.first)
        cluster.state.workers["c"] = ()
        await load(cluster.first)
    assert cluster.first.loaded == ["1"]


async def test_an_unload_that_does_not_reach_all_workers_in_time_says_so(cluster: Cluster) -> None:
    impatient = RequestContext("public", Deadline.after(cluster.first.clock, 0.3))
    with pytest.raises(DeadlineExceeded):
        await control(cluster.first).unload(impatient, "adder", {})


async def test_without_the_store_nothing_is_unloaded(cluster: Cluster) -> None:
    cluster.state.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await unload(cluster.first)
    assert cluster.first.loaded == ["1"]


async def test_only_admins_load_and_unload(cluster: Cluster) -> None:
    del cluster.state.workers["b"]
    admins, worker = control(cluster.first, frozenset({"operator"})), cluster.first
    with pytest.raises(NotAllowed, match="UNROLL_MODEL_ADMINS"):
        await admins.unload(context(worker, "alice"), "adder", {})
    await admins.load(context(worker, "alice"), "adder", {})
    await admins.unload(context(worker, "operator"), "adder", {})
    with pytest.raises(NotAllowed, match="load model 'adder' is not allowed to tenant 'alice'"):
        await admins.load(context(worker, "alice"), "adder", {})
    assert worker.loaded == []


async def test_parameters_that_would_change_a_model_are_refused_by_name(cluster: Cluster) -> None:
    first = control(cluster.first)
    for name in ("config", "file:1/model.onnx"):
        with pytest.raises(InvalidRequest, match=name):
            await first.load(context(cluster.first), "adder", {name: "{}"})
    with pytest.raises(InvalidRequest, match="expected unload_dependents"):
        await first.unload(context(cluster.first), "adder", {"config": "{}"})
    assert cluster.state.unloaded == set()


async def test_an_unload_of_dependents_is_one_of_the_model(cluster: Cluster) -> None:
    del cluster.state.workers["b"]
    await control(cluster.first).unload(context(cluster.first), "adder", {"unload_dependents": True})
    assert cluster.first.loaded == []
