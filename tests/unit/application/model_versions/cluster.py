"""Workers that share a registry, around their real reconcilers; disk, engine and registry are in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from service.application.model_versions.membership import ClusterMembership
from service.application.model_versions.reconciler import ModelReconciler
from service.application.model_versions.resolver import VersionResolver
from service.application.model_versions.retirement import Retirement
from service.application.model_versions.retirement_marks import RetirementMarks
from service.application.model_versions.session_scan import DrainScans
from service.domain.errors import (
    ModelFolderError,
    UnrollError,
)
from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.sessions import IndexPosition
from tests.fakes import AddingEngine, CountingObserver, ManualClock, model_version

GRACE_MS = 60_000
MARGIN_MS = 100
ONE, TWO = model_version(version="1", fingerprint="11" * 32), model_version(version="2", fingerprint="22" * 32)
POSITION = IndexPosition("tenant", 1, "session")


@dataclass
class Disk:
    """Versions on disk, the newest first. Those in `refused` are refused; all loads wait for `proceed`."""

    versions: list[ModelVersion] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    missing: bool = False
    proceed: asyncio.Event | None = None


class MemoryRepository:
    """Repository of the versions on the disk."""

    def __init__(self, disk: Disk, engine: AddingEngine) -> None:
        self._disk, self._engine = disk, engine
        self._accepted: dict[str, bool] = {}

    async def scan(self) -> list[VersionFolder]:
        if self._disk.missing:
            raise ModelFolderError("missing")
        return [self._folder(version) for version in self._disk.versions]

    def _folder(self, version: ModelVersion) -> VersionFolder:
        good = self._accepted.get(version.fingerprint)
        known = version.fingerprint if good else None
        return VersionFolder(version.name, version.version, version.fingerprint, known, refused=good is False)

    async def list_folders(self) -> list[VersionFolder]:
        return [replace(item, settled=False) for item in await self.scan()]

    async def load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> ModelVersion | None:
        self._accepted[folder.signature] = folder.signature not in self._disk.refused
        if not self._accepted[folder.signature]:
            return None
        (version,) = (item for item in self._disk.versions if item.fingerprint == folder.signature)
        if announce is not None:
            await announce(version.version_key)
        if self._disk.proceed is not None:
            await self._disk.proceed.wait()
        others = [item for item in self._engine.known if (item.name, item.version) != (version.name, version.version)]
        self._engine.known = sorted([*others, version], key=lambda item: item.version)
        return version

    def unload(self, version_key: VersionKey) -> None:
        self._engine.known = [item for item in self._engine.known if item.version_key != version_key]


@dataclass
class ClusterState:
    """State that the workers share, and the one session that may need a version."""

    now: int = 1_000_000
    marks: dict[VersionKey, RetirementMark] = field(default_factory=dict)
    workers: dict[str, tuple[ServedVersion, ...]] = field(default_factory=dict)
    unloaded: set[str] = field(default_factory=set)
    session: VersionKey | None = None
    failure: UnrollError | None = None


@dataclass
class MemoryRegistry:
    """Registry as one worker uses it."""

    state: ClusterState
    worker: str

    async def heartbeat(self, served: "list[ServedVersion]") -> ClusterView:
        self._maybe_fail()
        self.state.workers[self.worker] = tuple(served)
        return await self.view()

    async def view(self) -> ClusterView:
        self._maybe_fail()
        marks, workers = dict(self.state.marks), dict(self.state.workers)
        return ClusterView(self.state.now, marks, workers, frozenset(self.state.unloaded))

    async def deregister(self) -> None:
        self._maybe_fail()
        del self.state.workers[self.worker]

    async def mark_retiring(self, version_key: VersionKey, mark: RetirementMark) -> None:
        if mark.drained:
            self.state.marks[version_key] = mark
        self.state.marks.setdefault(version_key, mark)

    async def unmark_retiring(self, version_key: VersionKey) -> None:
        self.state.marks.pop(version_key, None)

    async def mark_unloaded(self, model: str) -> None:
        self._maybe_fail()
        self.state.unloaded.add(model)

    async def unmark_unloaded(self, model: str) -> None:
        self._maybe_fail()
        self.state.unloaded.discard(model)

    async def find_live_session(self, version_key: VersionKey, start: IndexPosition | None) -> IndexPosition | None:
        return POSITION if self.state.session == version_key else None

    def _maybe_fail(self) -> None:
        if self.state.failure is not None:
            raise self.state.failure


class Worker:
    """Worker with fakes around its reconciler; `reconcile` loads the awaited versions, too."""

    def __init__(self, state: ClusterState, disk: Disk, name: str = "a") -> None:
        self.engine, self.observer, self.state = AddingEngine(), CountingObserver(), state
        self.engine.known = []
        self.models, self.clock = VersionResolver(self.engine), ManualClock()
        registry, retirement = MemoryRegistry(state, name), Retirement(GRACE_MS)
        self.membership = ClusterMembership(registry=registry, clock=self.clock, timeout=20)
        scans = DrainScans(MARGIN_MS)
        self.reconciler = ModelReconciler(
            models=self.models,
            engine=self.engine,
            repository=MemoryRepository(disk, self.engine),
            membership=self.membership,
            observer=self.observer,
            retirement=retirement,
            marks=RetirementMarks(registry=registry, retirement=retirement, scans=scans),
        )
        self.models.refresh = self.reconciler.refresh

    async def reconcile(self, times: int = 1) -> None:
        for _ in range(times):
            self.state.now += MARGIN_MS
            self.clock.seconds += MARGIN_MS / 1000
            plan = await self.reconciler.reconcile()
            for folder in plan.awaited:
                await self.reconciler.load(folder)

    @property
    def loaded(self) -> list[str]:
        return [item.version for item in self.engine.known]

    @property
    def open(self) -> list[str]:
        return [item.version for item in self.models.all().get("adder", [])]
