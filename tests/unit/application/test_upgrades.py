"""Look after look of two workers that share a store: what joins, retires and is unloaded, and when nothing may be."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace

from service.application.model_versions.reconciler import ModelReconciler
from service.application.model_versions.resolver import VersionResolver
from service.application.model_versions.retirement import Retirement
from service.application.model_versions.session_scan import DrainScans
from service.domain.errors import ModelFolderError, StoreUnavailable, UnrollError
from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.sessions import IndexPosition
from tests.fakes import AddingEngine, CountingObserver, ManualClock, model_version

GRACE_MS = 60_000
MARGIN_MS = 100
ONE, TWO = model_version(version="1", fingerprint="11" * 32), model_version(version="2", fingerprint="22" * 32)
PLACE = IndexPosition("tenant", 1, "session")


@dataclass
class Disk:
    """Versions that lie there, the newest first; those in `broken` are refused."""

    versions: list[ModelVersion] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    missing: bool = False


class MemoryShelf:
    """Loads what lies on the disk."""

    def __init__(self, disk: Disk, engine: AddingEngine) -> None:
        self._disk, self._engine = disk, engine
        self._judged: dict[str, bool] = {}

    async def look(self) -> list[VersionFolder]:
        if self._disk.missing:
            raise ModelFolderError("missing")
        return [self._folder(one) for one in self._disk.versions]

    def _folder(self, version: ModelVersion) -> VersionFolder:
        good = self._judged.get(version.fingerprint)
        known = version.fingerprint if good else None
        return VersionFolder(version.name, version.version, version.fingerprint, known, broken=good is False)

    async def load(self, folder: VersionFolder) -> ModelVersion | None:
        self._judged[folder.signature] = folder.signature not in self._disk.broken
        if not self._judged[folder.signature]:
            return None
        (version,) = (one for one in self._disk.versions if one.fingerprint == folder.signature)
        others = [one for one in self._engine.known if (one.name, one.version) != (version.name, version.version)]
        self._engine.known = sorted([*others, version], key=lambda one: one.version)
        return version

    def unload(self, edition: VersionKey) -> None:
        self._engine.known = [one for one in self._engine.known if one.edition != edition]


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

    async def deregister(self) -> None:
        self._maybe_fail()
        del self.town.workers[self.worker]

    async def mark_retiring(self, edition: VersionKey, mark: RetirementMark) -> None:
        if mark.drained:
            self.town.marks[edition] = mark
        self.town.marks.setdefault(edition, mark)

    async def unmark_retiring(self, edition: VersionKey) -> None:
        self.town.marks.pop(edition, None)

    async def find_live_session(self, edition: VersionKey, start: IndexPosition | None) -> IndexPosition | None:
        return PLACE if self.town.session == edition else None

    def _maybe_fail(self) -> None:
        if self.town.failure is not None:
            raise self.town.failure


class Worker:
    """A worker's upgrades over fakes; `look` loads what is awaited, too."""

    def __init__(self, town: Town, disk: Disk, name: str = "a") -> None:
        self.engine, self.observer, self.town = AddingEngine(), CountingObserver(), town
        self.engine.known = []
        self.models, self.clock = VersionResolver(self.engine), ManualClock()
        self.upgrades = ModelReconciler(
            models=self.models,
            engine=self.engine,
            shelf=MemoryShelf(disk, self.engine),
            fleet=MemoryFleet(town, name),
            observer=self.observer,
            clock=self.clock,
            retirement=Retirement(GRACE_MS),
            searches=DrainScans(MARGIN_MS),
            fresh_seconds=20,
        )

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.town.now += MARGIN_MS
            self.clock.seconds += MARGIN_MS / 1000
            plan = await self.upgrades.look()
            for folder in plan.awaited:
                await self.upgrades.load(folder)

    @property
    def loaded(self) -> list[str]:
        return [one.version for one in self.engine.known]

    @property
    def open(self) -> list[str]:
        return [one.version for one in self.models.all().get("adder", [])]


def play(scene: Coroutine[None, None, None]) -> None:
    asyncio.run(scene)


def test_both_workers_serve_the_new_version_and_unload_the_old_one_when_nobody_needs_it() -> None:
    async def scene() -> None:
        town, disk = Town(), Disk([ONE])
        one, two = Worker(town, disk, "a"), Worker(town, disk, "b")
        await one.upgrades.start()
        await two.upgrades.start()
        disk.versions = [TWO, ONE]
        town.session = ONE.edition
        for _ in range(10):
            await one.look()
            await two.look()
        for worker in (one, two):
            assert (worker.open, worker.loaded) == (["2"], ["1", "2"])
        town.session = None
        for _ in range(4):
            await one.look()
            await two.look()
        for worker in (one, two):
            assert (worker.open, worker.loaded) == (["2"], ["2"])
            assert worker.observer.counts["unloaded adder"] == 1

    play(scene())


def test_the_grace_time_ends_sessions_that_do_not_end_themselves() -> None:
    async def scene() -> None:
        town, disk = Town(session=ONE.edition), Disk([ONE])
        worker = Worker(town, disk)
        await worker.upgrades.start()
        disk.versions = [TWO, ONE]
        await worker.look(5)
        town.now = town.marks[ONE.edition].since + GRACE_MS - MARGIN_MS - 1
        await worker.look()
        assert worker.loaded == ["1", "2"]
        await worker.look()
        assert worker.loaded == ["2"]
        await worker.look(3)
        assert worker.loaded == ["2"], "it is not loaded again"

    play(scene())


def test_a_step_on_a_retiring_version_keeps_it() -> None:
    async def scene() -> None:
        town, disk = Town(), Disk([ONE])
        worker = Worker(town, disk)
        await worker.upgrades.start()
        disk.versions = [TWO, ONE]
        await worker.look(2)
        for _ in range(5):
            worker.models.touched.add(ONE.edition)
            await worker.look()
        assert worker.loaded == ["1", "2"]
        await worker.look(5)
        assert worker.loaded == ["2"]

    play(scene())


def test_what_was_touched_while_the_store_was_away_is_told_later() -> None:
    async def scene() -> None:
        town = Town()
        worker = Worker(town, Disk([ONE]))
        await worker.upgrades.start()
        worker.models.touched.add(ONE.edition)
        town.failure = StoreUnavailable("away")
        await worker.look()
        town.failure = None
        await worker.look()
        assert [one.touched for one in town.workers["a"]] == [True]
        await worker.look()
        assert [one.touched for one in town.workers["a"]] == [False]

    play(scene())


def test_without_the_store_new_versions_join_and_none_goes() -> None:
    async def scene() -> None:
        town, disk = Town(), Disk([ONE])
        worker = Worker(town, disk)
        await worker.upgrades.start()
        town.failure = StoreUnavailable("away")
        disk.versions = [TWO, ONE]
        await worker.look(3)
        assert (worker.open, worker.loaded, town.marks) == (["1", "2"], ["1", "2"], {})
        assert worker.models.version("adder", None) == TWO
        worker.clock.seconds += 30
        await worker.look()
        assert worker.models.standing is not None
        assert not worker.models.standing.informed
        town.failure = None
        await worker.look(2)
        assert worker.open == ["2"]
        assert worker.models.standing.informed

    play(scene())


def test_a_worker_that_starts_without_the_store_loads_everything() -> None:
    async def scene() -> None:
        town = Town(
            failure=StoreUnavailable("away"), marks={ONE.edition: RetirementMark(0, "superseded", drained=True)}
        )
        worker = Worker(town, Disk([TWO, ONE]))
        await worker.upgrades.start()
        assert worker.loaded == ["1", "2"]
        town.failure = None
        await worker.look()
        assert worker.loaded == ["2"]

    play(scene())


def test_a_worker_that_starts_leaves_alone_what_nobody_needs() -> None:
    async def scene() -> None:
        marks = {ONE.edition: RetirementMark(0, "superseded", signature=ONE.fingerprint, drained=True)}
        worker = Worker(Town(marks=marks), Disk([TWO, ONE]))
        await worker.upgrades.start()
        assert worker.loaded == ["2"]
        assert worker.observer.counts["loaded adder"] == 1

    play(scene())


def test_a_broken_version_is_tried_once_and_changes_nothing() -> None:
    async def scene() -> None:
        disk = Disk([ONE])
        worker = Worker(Town(), disk)
        await worker.upgrades.start()
        disk.versions, disk.broken = [TWO, ONE], {TWO.fingerprint}
        await worker.look(3)
        assert (worker.open, worker.loaded) == (["1"], ["1"])
        assert worker.observer.counts["loaded adder"] == 1

    play(scene())


def test_a_version_changed_in_place_is_open_from_the_moment_it_joins() -> None:
    async def scene() -> None:
        disk = Disk([ONE])
        worker = Worker(Town(), disk)
        await worker.upgrades.start()
        changed = replace(ONE, fingerprint="33" * 32)
        disk.versions = [changed]
        (folder,) = (await worker.upgrades.look()).awaited
        assert worker.models.versions("adder") == [ONE]
        await worker.upgrades.load(folder)
        assert worker.models.versions("adder") == [changed]
        assert worker.observer.counts["unloaded adder"] == 1

    play(scene())


def test_a_folder_of_models_that_is_away_retires_nobody() -> None:
    async def scene() -> None:
        town, disk = Town(), Disk([ONE])
        worker = Worker(town, disk)
        await worker.upgrades.start()
        disk.missing = True
        await worker.look(3)
        assert (worker.open, town.marks) == (["1"], {})

    play(scene())


def test_a_worker_that_stops_is_served_by_no_longer() -> None:
    async def scene() -> None:
        town = Town()
        worker = Worker(town, Disk([ONE]))
        await worker.upgrades.start()
        await worker.upgrades.stop()
        assert town.workers == {}
        town.failure = StoreUnavailable("away")
        await worker.upgrades.stop()

    play(scene())
