"""Passes of two workers that share a store: which versions are loaded, retired and unloaded, and when none may be."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from service.domain.errors import (
    ModelNotFound,
    ModelNotReady,
    ModelVersionGone,
    StoreUnavailable,
    VersionNotFound,
)
from service.domain.models import ModelVersion, RetirementMark, VersionFolder, VersionKey
from tests.fakes import AddingEngine, model_version
from tests.unit.application.model_versions.cluster import (
    GRACE_MS,
    MARGIN_MS,
    ONE,
    TWO,
    ClusterState,
    Disk,
    MemoryRepository,
    Worker,
)
from tests.unit.application.world import session_on


async def test_both_workers_serve_the_new_version_and_unload_the_old_one_when_nobody_needs_it() -> None:
    state, disk = ClusterState(), Disk([ONE])
    one, two = Worker(state, disk, "a"), Worker(state, disk, "b")
    await one.reconciler.start()
    await two.reconciler.start()
    disk.versions = [TWO, ONE]
    state.session = ONE.version_key
    for _ in range(10):
        await one.reconcile()
        await two.reconcile()
    for worker in (one, two):
        assert (worker.open, worker.loaded) == (["2"], ["1", "2"])
    state.session = None
    for _ in range(4):
        await one.reconcile()
        await two.reconcile()
    for worker in (one, two):
        assert (worker.open, worker.loaded) == (["2"], ["2"])
        assert worker.observer.counts["unloaded adder"] == 1


async def test_the_grace_time_ends_sessions_that_do_not_end_themselves() -> None:
    state, disk = ClusterState(session=ONE.version_key), Disk([ONE])
    worker = Worker(state, disk)
    await worker.reconciler.start()
    disk.versions = [TWO, ONE]
    await worker.reconcile(5)
    state.now = state.marks[ONE.version_key].since + GRACE_MS - MARGIN_MS - 1
    await worker.reconcile()
    assert worker.loaded == ["1", "2"]
    await worker.reconcile()
    assert worker.loaded == ["2"]
    await worker.reconcile(3)
    assert worker.loaded == ["2"], "it is not loaded again"


async def test_a_step_on_a_retiring_version_keeps_it() -> None:
    state, disk = ClusterState(), Disk([ONE])
    worker = Worker(state, disk)
    await worker.reconciler.start()
    disk.versions = [TWO, ONE]
    await worker.reconcile(2)
    for _ in range(5):
        worker.models.recently_used.add(ONE.version_key)
        await worker.reconcile()
    assert worker.loaded == ["1", "2"]
    await worker.reconcile(5)
    assert worker.loaded == ["2"]


async def test_recent_use_while_the_store_is_unreachable_is_reported_later() -> None:
    state = ClusterState()
    worker = Worker(state, Disk([ONE]))
    await worker.reconciler.start()
    worker.models.recently_used.add(ONE.version_key)
    state.failure = StoreUnavailable("away")
    await worker.reconcile()
    state.failure = None
    await worker.reconcile()
    assert [item.recently_used for item in state.workers["a"]] == [True]
    await worker.reconcile()
    assert [item.recently_used for item in state.workers["a"]] == [False]


async def test_without_the_store_new_versions_are_loaded_and_none_is_unloaded() -> None:
    state, disk = ClusterState(), Disk([ONE])
    worker = Worker(state, disk)
    await worker.reconciler.start()
    state.failure = StoreUnavailable("away")
    disk.versions = [TWO, ONE]
    await worker.reconcile(3)
    assert (worker.open, worker.loaded, state.marks) == (["1", "2"], ["1", "2"], {})
    assert await worker.models.version("adder", None) == TWO
    worker.clock.seconds += 30
    await worker.reconcile()
    assert not worker.models.availability.informed
    state.failure = None
    await worker.reconcile(2)
    assert worker.open == ["2"]
    assert worker.models.availability.informed


async def test_a_worker_that_starts_without_the_store_loads_everything() -> None:
    state = ClusterState(
        failure=StoreUnavailable("away"), marks={ONE.version_key: RetirementMark(0, "superseded", drained=True)}
    )
    worker = Worker(state, Disk([TWO, ONE]))
    await worker.reconciler.start()
    assert worker.loaded == ["1", "2"]
    state.failure = None
    await worker.reconcile()
    assert worker.loaded == ["2"]


async def test_a_worker_that_starts_does_not_load_what_no_session_needs() -> None:
    marks = {ONE.version_key: RetirementMark(0, "superseded", signature=ONE.fingerprint, drained=True)}
    worker = Worker(ClusterState(marks=marks), Disk([TWO, ONE]))
    await worker.reconciler.start()
    assert worker.loaded == ["2"]
    assert worker.observer.counts["loaded adder"] == 1


async def test_a_broken_version_is_tried_once_and_changes_nothing() -> None:
    disk = Disk([ONE])
    worker = Worker(ClusterState(), disk)
    await worker.reconciler.start()
    disk.versions, disk.refused = [TWO, ONE], {TWO.fingerprint}
    await worker.reconcile(3)
    assert (worker.open, worker.loaded) == (["1"], ["1"])
    assert worker.observer.counts["loaded adder"] == 1


async def test_a_version_changed_in_place_is_open_as_soon_as_it_is_loaded() -> None:
    disk = Disk([ONE])
    worker = Worker(ClusterState(), disk)
    await worker.reconciler.start()
    changed = replace(ONE, fingerprint="33" * 32)
    disk.versions = [changed]
    (folder,) = (await worker.reconciler.reconcile()).awaited
    assert await worker.models.versions("adder") == [ONE]
    await worker.reconciler.load(folder)
    assert await worker.models.versions("adder") == [changed]
    assert worker.observer.counts["unloaded adder"] == 1


async def test_a_missing_folder_of_models_retires_no_version() -> None:
    state, disk = ClusterState(), Disk([ONE])
    worker = Worker(state, disk)
    await worker.reconciler.start()
    disk.missing = True
    await worker.reconcile(3)
    assert (worker.open, state.marks) == (["1"], {})


async def test_a_worker_that_stops_leaves_the_registry() -> None:
    state = ClusterState()
    worker = Worker(state, Disk([ONE]))
    await worker.reconciler.start()
    await worker.reconciler.stop()
    assert state.workers == {}
    state.failure = StoreUnavailable("away")
    await worker.reconciler.stop()


async def rolled_out(state: ClusterState, ahead: Disk, behind: Disk) -> tuple[Worker, Worker]:
    """A worker that has loaded version 2, and one whose last look was before that."""
    first, second = Worker(state, ahead, "a"), Worker(state, behind, "b")
    await first.reconciler.start()
    await second.reconciler.start()
    ahead.versions = [TWO, ONE]
    await first.reconcile()
    assert (first.open, second.loaded) == (["1", "2"], ["1"])
    return first, second


async def assert_not_ready(worker: Worker) -> None:
    """Every way to name version 2 is answered by a 503."""
    for ask in (worker.models.version, worker.models.version_for_new_session):
        with pytest.raises(ModelNotReady, match="version '2' of adder is not loaded here yet"):
            await ask("adder", "2")
    with pytest.raises(ModelNotReady, match="that the state belongs to is not loaded here yet"):
        await worker.models.version_for_state("adder", "2", TWO.fingerprint)
    with pytest.raises(ModelNotReady, match="on which the session runs, is not loaded here yet"):
        await worker.models.version_for_session(session_on(TWO))


async def test_a_version_that_another_worker_serves_since_the_last_pass_is_not_ready_here() -> None:
    _, late = await rolled_out(ClusterState(), Disk([ONE]), Disk([ONE]))
    await assert_not_ready(late)
    assert await late.models.version("adder", None) == ONE


async def test_a_folder_that_came_since_the_last_pass_is_not_ready_even_without_the_store() -> None:
    state, disk = ClusterState(), Disk([ONE])
    _, late = await rolled_out(state, disk, disk)
    state.failure = StoreUnavailable("away")
    state.workers.clear()
    await assert_not_ready(late)
    with pytest.raises(VersionNotFound):
        await late.models.version("adder", "3")
    disk.missing = True
    await assert_not_ready(late)


async def test_a_model_that_is_new_altogether_is_not_ready_where_it_is_not_loaded_yet() -> None:
    state, disk = ClusterState(), Disk([ONE])
    worker, other = Worker(state, disk, "a"), Worker(state, Disk([ONE]), "b")
    await worker.reconciler.start()
    await other.reconciler.start()
    disk.versions = [ONE, model_version("new")]
    for late in (worker, other):
        if late is other:
            with pytest.raises(ModelNotFound):
                await other.models.versions("new")
            await worker.reconcile()
        for ask in (late.models.version, late.models.version_for_new_session):
            for version in (None, "1"):
                with pytest.raises(ModelNotReady):
                    await ask("new", version)
        with pytest.raises(ModelNotReady, match="model 'new' is not loaded here yet"):
            await late.models.versions("new")


async def test_a_session_on_a_version_that_replaced_another_since_the_last_pass_is_not_gone() -> None:
    changed = replace(ONE, fingerprint="33" * 32)
    state, disk = ClusterState(), Disk([ONE])
    first, late = Worker(state, disk, "a"), Worker(state, Disk([ONE]), "b")
    await first.reconciler.start()
    await late.reconciler.start()
    disk.versions = [changed]
    await first.reconcile()
    with pytest.raises(ModelNotReady):
        await late.models.version_for_session(session_on(changed))
    await first.reconcile()
    await late.reconcile()
    with pytest.raises(ModelVersionGone, match="changed in place"):
        await first.models.version_for_session(session_on(replace(ONE, fingerprint="44" * 32)))


async def test_a_version_is_published_before_it_serves_also_by_a_pass_meanwhile() -> None:
    disk, state = Disk([ONE]), ClusterState()
    worker = Worker(state, disk)
    await worker.reconciler.start()
    disk.versions, disk.proceed = [TWO, ONE], asyncio.Event()
    worker.models.recently_used.add(ONE.version_key)
    folder, *_ = (await worker.reconciler.reconcile()).awaited
    loading = asyncio.create_task(worker.reconciler.load(folder))
    for again in range(2):
        await asyncio.sleep(0)
        assert worker.loaded == ["1"]
        published = {
            item.version_key.version: (item.accepts_sessions, item.recently_used) for item in state.workers["a"]
        }
        assert published == {"1": (True, not again), "2": (True, False)}
        await worker.reconciler.reconcile()
    disk.proceed.set()
    await loading
    assert worker.open == ["1", "2"]
    await worker.reconciler.reconcile()
    assert [item.version_key.version for item in state.workers["a"]] == ["1", "2"]


async def test_a_refused_version_is_not_published_and_one_loaded_without_the_store_is_later() -> None:
    disk, state = Disk([ONE]), ClusterState()
    worker = Worker(state, disk)
    await worker.reconciler.start()
    disk.versions, disk.refused = [TWO, ONE], {TWO.fingerprint}
    await worker.reconcile(2)
    assert [item.version_key.version for item in state.workers["a"]] == ["1"]
    with pytest.raises(VersionNotFound, match="is not served"):
        await worker.models.version("adder", "2")
    three = model_version(version="3", fingerprint="33" * 32)
    disk.versions, state.failure = [three, ONE], StoreUnavailable("away")
    await worker.reconcile()
    assert worker.loaded == ["1", "3"]
    state.failure = None
    await worker.reconcile()
    assert [item.version_key.version for item in state.workers["a"]] == ["1", "3"]


async def test_a_refresh_changes_nothing_but_what_requests_see() -> None:
    state, disk = ClusterState(), Disk([ONE])
    first, late = await rolled_out(state, disk, disk)
    late.models.recently_used.add(ONE.version_key)
    before = dict(state.workers), dict(state.marks)
    for _ in range(3):
        await late.reconciler.refresh()
    assert (state.workers, state.marks) == before
    assert late.models.recently_used == {ONE.version_key}
    assert late.loaded == ["1"]
    await first.reconcile()
    disk.versions = [TWO]
    await late.reconciler.refresh()
    assert late.open == ["1"], "only a pass decides what is gone"


async def test_a_retiring_version_takes_new_sessions_where_another_worker_took_its_mark_back() -> None:
    state, disk = ClusterState(session=ONE.version_key), Disk([ONE])
    _, late = await rolled_out(state, disk, disk)
    await late.reconcile(3)
    with pytest.raises(VersionNotFound, match="is being retired"):
        await late.models.version_for_new_session("adder", "1")
    state.marks.clear()
    assert await late.models.version_for_new_session("adder", "1") == ONE


class SlowlyCancelledRepository(MemoryRepository):
    """Repository whose loads end some turns of the event loop after their cancellation."""

    def __init__(self, disk: Disk, engine: AddingEngine) -> None:
        super().__init__(disk, engine)
        self.begun = asyncio.Event()

    async def load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        self.begun.set()
        try:
            return await super().load(folder, announce)
        finally:
            for _ in range(10):
                await asyncio.sleep(0)


async def test_a_load_in_progress_has_ended_when_the_cancelled_reconciler_has() -> None:
    state, disk = ClusterState(), Disk([ONE])
    worker = Worker(state, disk)
    await worker.reconciler.start()
    worker.reconciler.repository = repository = SlowlyCancelledRepository(disk, worker.engine)
    disk.versions, disk.proceed = [TWO, ONE], asyncio.Event()
    tasks = asyncio.all_tasks()
    running = asyncio.create_task(worker.reconciler.run(0.001))
    await repository.begun.wait()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert asyncio.all_tasks() == tasks
    assert worker.loaded == ["1"]


class FailingRepository(MemoryRepository):
    """Repository whose first load fails."""

    def __init__(self, disk: Disk, engine: AddingEngine) -> None:
        super().__init__(disk, engine)
        self.failed, self.loaded = False, asyncio.Event()

    async def load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        if not self.failed:
            self.failed = True
            raise OSError("the disk")
        version = await super().load(folder, announce)
        self.loaded.set()
        return version


async def test_a_load_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk([ONE])
    worker = Worker(ClusterState(), disk)
    await worker.reconciler.start()
    worker.reconciler.repository = repository = FailingRepository(disk, worker.engine)
    disk.versions = [TWO, ONE]
    running = asyncio.create_task(worker.reconciler.run(0.001))
    async with asyncio.timeout(30):
        await repository.loaded.wait()
    running.cancel()
    await asyncio.wait([running])
    assert worker.loaded == ["1", "2"]
    assert [record.getMessage() for record in caplog.records] == ["model reconciliation failed"]
