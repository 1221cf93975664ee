"""Look after look of two workers that share a store: what joins, retires and is unloaded, and when nothing may be."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from service.application.model_versions.marks import RetirementMarks
from service.application.model_versions.membership import ClusterMembership
from service.application.model_versions.reconciler import ModelReconciler
from service.application.model_versions.resolver import VersionResolver
from service.application.model_versions.retirement import Retirement
from service.application.model_versions.session_scan import DrainScans
from service.domain.errors import (
    ModelFolderError,
    ModelNotFound,
    ModelNotReady,
    ModelVersionGone,
    StoreUnavailable,
    UnrollError,
    VersionNotFound,
)
from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.sessions import IndexPosition
from tests.fakes import AddingEngine, CountingObserver, ManualClock, model_version
from tests.unit.application.world import session_on

GRACE_MS = 60_000
MARGIN_MS = 100
ONE, TWO = model_version(version="1", fingerprint="11" * 32), model_version(version="2", fingerprint="22" * 32)
PLACE = IndexPosition("tenant", 1, "session")


@dataclass
class Disk:
    """Versions that lie there, the newest first; those in `broken` are refused, all wait for `acquire` to join."""

    versions: list[ModelVersion] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    missing: bool = False
    acquire: asyncio.Event | None = None


class MemoryShelf:
    """Loads what lies on the disk."""

    def __init__(self, disk: Disk, engine: AddingEngine) -> None:
        self._disk, self._engine = disk, engine
        self._judged: dict[str, bool] = {}

    async def scan(self) -> list[VersionFolder]:
        if self._disk.missing:
            raise ModelFolderError("missing")
        return [self._folder(one) for one in self._disk.versions]

    def _folder(self, version: ModelVersion) -> VersionFolder:
        good = self._judged.get(version.fingerprint)
        known = version.fingerprint if good else None
        return VersionFolder(version.name, version.version, version.fingerprint, known, broken=good is False)

    async def list_folders(self) -> list[VersionFolder]:
        return [replace(one, settled=False) for one in await self.scan()]

    async def load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        self._judged[folder.signature] = folder.signature not in self._disk.broken
        if not self._judged[folder.signature]:
            return None
        (version,) = (one for one in self._disk.versions if one.fingerprint == folder.signature)
        if announce is not None:
            await announce(version.version_key)
        if self._disk.acquire is not None:
            await self._disk.acquire.wait()
        others = [one for one in self._engine.known if (one.name, one.version) != (version.name, version.version)]
        self._engine.known = sorted([*others, version], key=lambda one: one.version)
        return version

    def unload(self, version_key: VersionKey) -> None:
        self._engine.known = [one for one in self._engine.known if one.version_key != version_key]


@dataclass
class Town:
    """What the workers know together, and the one session that may need a version."""

    now: int = 1_000_000
    marks: dict[VersionKey, RetirementMark] = field(default_factory=dict)
    workers: dict[str, tuple[ServedVersion, ...]] = field(default_factory=dict)
    session: VersionKey | None = None
    failure: UnrollError | None = None


@dataclass
class MemoryFleet:
    """One worker's end of it."""

    town: Town
    worker: str

    async def heartbeat(self, served: "list[ServedVersion]") -> ClusterView:
        self._maybe_fail()
        self.town.workers[self.worker] = tuple(served)
        return ClusterView(self.town.now, dict(self.town.marks), dict(self.town.workers))

    async def view(self) -> ClusterView:
        self._maybe_fail()
        return ClusterView(self.town.now, dict(self.town.marks), dict(self.town.workers))

    async def deregister(self) -> None:
        self._maybe_fail()
        del self.town.workers[self.worker]

    async def mark_retiring(self, version_key: VersionKey, mark: RetirementMark) -> None:
        if mark.drained:
            self.town.marks[version_key] = mark
        self.town.marks.setdefault(version_key, mark)

    async def unmark_retiring(self, version_key: VersionKey) -> None:
        self.town.marks.pop(version_key, None)

    async def find_live_session(self, version_key: VersionKey, start: IndexPosition | None) -> IndexPosition | None:
        return PLACE if self.town.session == version_key else None

    def _maybe_fail(self) -> None:
        if self.town.failure is not None:
            raise self.town.failure


class Worker:
    """A worker's upgrades over fakes; `look` loads what is awaited, too."""

    def __init__(self, town: Town, disk: Disk, name: str = "a") -> None:
        self.engine, self.observer, self.town = AddingEngine(), CountingObserver(), town
        self.engine.known = []
        self.models, self.clock = VersionResolver(self.engine), ManualClock()
        fleet = MemoryFleet(town, name)
        membership, retirement = ClusterMembership(registry=fleet, clock=self.clock, timeout=20), Retirement(GRACE_MS)
        scans = DrainScans(MARGIN_MS)
        self.upgrades = ModelReconciler(
            models=self.models,
            engine=self.engine,
            repository=MemoryShelf(disk, self.engine),
            membership=membership,
            observer=self.observer,
            retirement=retirement,
            marks=RetirementMarks(registry=fleet, retirement=retirement, scans=scans),
        )
        self.models.refresh = self.upgrades.refresh

    async def reconcile(self, times: int = 1) -> None:
        for _ in range(times):
            self.town.now += MARGIN_MS
            self.clock.seconds += MARGIN_MS / 1000
            plan = await self.upgrades.reconcile()
            for folder in plan.awaited:
                await self.upgrades.load(folder)

    @property
    def loaded(self) -> list[str]:
        return [one.version for one in self.engine.known]

    @property
    def open(self) -> list[str]:
        return [one.version for one in self.models.all().get("adder", [])]


async def test_both_workers_serve_the_new_version_and_unload_the_old_one_when_nobody_needs_it() -> None:
    town, disk = Town(), Disk([ONE])
    one, two = Worker(town, disk, "a"), Worker(town, disk, "b")
    await one.upgrades.start()
    await two.upgrades.start()
    disk.versions = [TWO, ONE]
    town.session = ONE.version_key
    for _ in range(10):
        await one.reconcile()
        await two.reconcile()
    for worker in (one, two):
        assert (worker.open, worker.loaded) == (["2"], ["1", "2"])
    town.session = None
    for _ in range(4):
        await one.reconcile()
        await two.reconcile()
    for worker in (one, two):
        assert (worker.open, worker.loaded) == (["2"], ["2"])
        assert worker.observer.counts["unloaded adder"] == 1


async def test_the_grace_time_ends_sessions_that_do_not_end_themselves() -> None:
    town, disk = Town(session=ONE.version_key), Disk([ONE])
    worker = Worker(town, disk)
    await worker.upgrades.start()
    disk.versions = [TWO, ONE]
    await worker.reconcile(5)
    town.now = town.marks[ONE.version_key].since + GRACE_MS - MARGIN_MS - 1
    await worker.reconcile()
    assert worker.loaded == ["1", "2"]
    await worker.reconcile()
    assert worker.loaded == ["2"]
    await worker.reconcile(3)
    assert worker.loaded == ["2"], "it is not loaded again"


async def test_a_step_on_a_retiring_version_keeps_it() -> None:
    town, disk = Town(), Disk([ONE])
    worker = Worker(town, disk)
    await worker.upgrades.start()
    disk.versions = [TWO, ONE]
    await worker.reconcile(2)
    for _ in range(5):
        worker.models.recently_used.add(ONE.version_key)
        await worker.reconcile()
    assert worker.loaded == ["1", "2"]
    await worker.reconcile(5)
    assert worker.loaded == ["2"]


async def test_what_was_touched_while_the_store_was_away_is_told_later() -> None:
    town = Town()
    worker = Worker(town, Disk([ONE]))
    await worker.upgrades.start()
    worker.models.recently_used.add(ONE.version_key)
    town.failure = StoreUnavailable("away")
    await worker.reconcile()
    town.failure = None
    await worker.reconcile()
    assert [one.recently_used for one in town.workers["a"]] == [True]
    await worker.reconcile()
    assert [one.recently_used for one in town.workers["a"]] == [False]


async def test_without_the_store_new_versions_join_and_none_goes() -> None:
    town, disk = Town(), Disk([ONE])
    worker = Worker(town, disk)
    await worker.upgrades.start()
    town.failure = StoreUnavailable("away")
    disk.versions = [TWO, ONE]
    await worker.reconcile(3)
    assert (worker.open, worker.loaded, town.marks) == (["1", "2"], ["1", "2"], {})
    assert await worker.models.version("adder", None) == TWO
    worker.clock.seconds += 30
    await worker.reconcile()
    assert not worker.models.availability.informed
    town.failure = None
    await worker.reconcile(2)
    assert worker.open == ["2"]
    assert worker.models.availability.informed


async def test_a_worker_that_starts_without_the_store_loads_everything() -> None:
    town = Town(
        failure=StoreUnavailable("away"), marks={ONE.version_key: RetirementMark(0, "superseded", drained=True)}
    )
    worker = Worker(town, Disk([TWO, ONE]))
    await worker.upgrades.start()
    assert worker.loaded == ["1", "2"]
    town.failure = None
    await worker.reconcile()
    assert worker.loaded == ["2"]


async def test_a_worker_that_starts_leaves_alone_what_nobody_needs() -> None:
    marks = {ONE.version_key: RetirementMark(0, "superseded", signature=ONE.fingerprint, drained=True)}
    worker = Worker(Town(marks=marks), Disk([TWO, ONE]))
    await worker.upgrades.start()
    assert worker.loaded == ["2"]
    assert worker.observer.counts["loaded adder"] == 1


async def test_a_broken_version_is_tried_once_and_changes_nothing() -> None:
    disk = Disk([ONE])
    worker = Worker(Town(), disk)
    await worker.upgrades.start()
    disk.versions, disk.broken = [TWO, ONE], {TWO.fingerprint}
    await worker.reconcile(3)
    assert (worker.open, worker.loaded) == (["1"], ["1"])
    assert worker.observer.counts["loaded adder"] == 1


async def test_a_version_changed_in_place_is_open_from_the_moment_it_joins() -> None:
    disk = Disk([ONE])
    worker = Worker(Town(), disk)
    await worker.upgrades.start()
    changed = replace(ONE, fingerprint="33" * 32)
    disk.versions = [changed]
    (folder,) = (await worker.upgrades.reconcile()).awaited
    assert await worker.models.versions("adder") == [ONE]
    await worker.upgrades.load(folder)
    assert await worker.models.versions("adder") == [changed]
    assert worker.observer.counts["unloaded adder"] == 1


async def test_a_folder_of_models_that_is_away_retires_nobody() -> None:
    town, disk = Town(), Disk([ONE])
    worker = Worker(town, disk)
    await worker.upgrades.start()
    disk.missing = True
    await worker.reconcile(3)
    assert (worker.open, town.marks) == (["1"], {})


async def test_a_worker_that_stops_is_served_by_no_longer() -> None:
    town = Town()
    worker = Worker(town, Disk([ONE]))
    await worker.upgrades.start()
    await worker.upgrades.stop()
    assert town.workers == {}
    town.failure = StoreUnavailable("away")
    await worker.upgrades.stop()


async def rolled_out(town: Town, ahead: Disk, behind: Disk) -> tuple[Worker, Worker]:
    """A worker that has loaded version 2, and one whose last look was before that."""
    first, second = Worker(town, ahead, "a"), Worker(town, behind, "b")
    await first.upgrades.start()
    await second.upgrades.start()
    ahead.versions = [TWO, ONE]
    await first.reconcile()
    assert (first.open, second.loaded) == (["1", "2"], ["1"])
    return first, second


async def assert_not_ready(worker: Worker) -> None:
    """Every way to name version 2 is answered by a 503."""
    for ask in (worker.models.version, worker.models.for_session):
        with pytest.raises(ModelNotReady, match="version '2' of adder is not loaded here yet"):
            await ask("adder", "2")
    with pytest.raises(ModelNotReady, match="that the state belongs to is not loaded here yet"):
        await worker.models.of_state("adder", "2", TWO.fingerprint)
    with pytest.raises(ModelNotReady, match="on which the session runs, is not loaded here yet"):
        await worker.models.of_session(session_on(TWO))


async def test_a_version_that_another_worker_serves_since_the_last_look_is_not_ready_here() -> None:
    _, late = await rolled_out(Town(), Disk([ONE]), Disk([ONE]))
    await assert_not_ready(late)
    assert await late.models.version("adder", None) == ONE


async def test_a_folder_that_came_since_the_last_look_is_not_ready_even_without_the_store() -> None:
    town, disk = Town(), Disk([ONE])
    _, late = await rolled_out(town, disk, disk)
    town.failure = StoreUnavailable("away")
    town.workers.clear()
    await assert_not_ready(late)
    with pytest.raises(VersionNotFound):
        await late.models.version("adder", "3")
    disk.missing = True
    await assert_not_ready(late)


async def test_a_model_that_is_new_altogether_is_not_ready_where_it_is_not_loaded_yet() -> None:
    town, disk = Town(), Disk([ONE])
    worker, other = Worker(town, disk, "a"), Worker(town, Disk([ONE]), "b")
    await worker.upgrades.start()
    await other.upgrades.start()
    disk.versions = [ONE, model_version("new")]
    for late in (worker, other):
        if late is other:
            with pytest.raises(ModelNotFound):
                await other.models.versions("new")
            await worker.reconcile()
        for ask in (late.models.version, late.models.for_session):
            for version in (None, "1"):
                with pytest.raises(ModelNotReady):
                    await ask("new", version)
        with pytest.raises(ModelNotReady, match="model 'new' is not loaded here yet"):
            await late.models.versions("new")


async def test_a_session_on_an_edition_that_replaced_another_since_the_last_look_is_not_gone() -> None:
    changed = replace(ONE, fingerprint="33" * 32)
    town, disk = Town(), Disk([ONE])
    first, late = Worker(town, disk, "a"), Worker(town, Disk([ONE]), "b")
    await first.upgrades.start()
    await late.upgrades.start()
    disk.versions = [changed]
    await first.reconcile()
    with pytest.raises(ModelNotReady):
        await late.models.of_session(session_on(changed))
    await first.reconcile()
    await late.reconcile()
    with pytest.raises(ModelVersionGone, match="changed in place"):
        await first.models.of_session(session_on(replace(ONE, fingerprint="44" * 32)))


async def test_the_others_are_told_of_a_version_before_it_serves_also_by_a_look_meanwhile() -> None:
    disk, town = Disk([ONE]), Town()
    worker = Worker(town, disk)
    await worker.upgrades.start()
    disk.versions, disk.acquire = [TWO, ONE], asyncio.Event()
    worker.models.recently_used.add(ONE.version_key)
    folder, *_ = (await worker.upgrades.reconcile()).awaited
    loading = asyncio.create_task(worker.upgrades.load(folder))
    for again in range(2):
        await asyncio.sleep(0)
        assert worker.loaded == ["1"]
        told = {one.version_key.version: (one.open, one.recently_used) for one in town.workers["a"]}
        assert told == {"1": (True, not again), "2": (True, False)}
        await worker.upgrades.reconcile()
    disk.acquire.set()
    await loading
    assert worker.open == ["1", "2"]
    await worker.upgrades.reconcile()
    assert [one.version_key.version for one in town.workers["a"]] == ["1", "2"]


async def test_a_refused_version_is_told_of_to_nobody_and_a_joined_one_without_the_store_to_all_later() -> None:
    disk, town = Disk([ONE]), Town()
    worker = Worker(town, disk)
    await worker.upgrades.start()
    disk.versions, disk.broken = [TWO, ONE], {TWO.fingerprint}
    await worker.reconcile(2)
    assert [one.version_key.version for one in town.workers["a"]] == ["1"]
    with pytest.raises(VersionNotFound, match="is not served"):
        await worker.models.version("adder", "2")
    three = model_version(version="3", fingerprint="33" * 32)
    disk.versions, town.failure = [three, ONE], StoreUnavailable("away")
    await worker.reconcile()
    assert worker.loaded == ["1", "3"]
    town.failure = None
    await worker.reconcile()
    assert [one.version_key.version for one in town.workers["a"]] == ["1", "3"]


async def test_a_fresh_look_changes_nothing_but_what_requests_see() -> None:
    town, disk = Town(), Disk([ONE])
    first, late = await rolled_out(town, disk, disk)
    late.models.recently_used.add(ONE.version_key)
    before = dict(town.workers), dict(town.marks)
    for _ in range(3):
        await late.upgrades.refresh()
    assert (town.workers, town.marks) == before
    assert late.models.recently_used == {ONE.version_key}
    assert late.loaded == ["1"]
    await first.reconcile()
    disk.versions = [TWO]
    await late.upgrades.refresh()
    assert late.open == ["1"], "it is for looks to say what is gone"


async def test_a_retiring_version_takes_new_sessions_where_another_worker_took_its_mark_back() -> None:
    town, disk = Town(session=ONE.version_key), Disk([ONE])
    _, late = await rolled_out(town, disk, disk)
    await late.reconcile(3)
    with pytest.raises(VersionNotFound, match="is being retired"):
        await late.models.for_session("adder", "1")
    town.marks.clear()
    assert await late.models.for_session("adder", "1") == ONE


class SlowlyCancelledRepository(MemoryShelf):
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
    town, disk = Town(), Disk([ONE])
    worker = Worker(town, disk)
    await worker.upgrades.start()
    worker.upgrades.repository = repository = SlowlyCancelledRepository(disk, worker.engine)
    disk.versions, disk.acquire = [TWO, ONE], asyncio.Event()
    tasks = asyncio.all_tasks()
    running = asyncio.create_task(worker.upgrades.run(0.001))
    await repository.begun.wait()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert asyncio.all_tasks() == tasks
    assert worker.loaded == ["1"]


class FailingRepository(MemoryShelf):
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
    worker = Worker(Town(), disk)
    await worker.upgrades.start()
    worker.upgrades.repository = repository = FailingRepository(disk, worker.engine)
    disk.versions = [TWO, ONE]
    running = asyncio.create_task(worker.upgrades.run(0.001))
    async with asyncio.timeout(30):
        await repository.loaded.wait()
    running.cancel()
    await asyncio.wait([running])
    assert worker.loaded == ["1", "2"]
    assert [record.getMessage() for record in caplog.records] == ["model reconciliation failed"]
