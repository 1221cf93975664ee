"""Reconciliation of the loaded model versions with the model folder, while the service runs.

Each pass scans the folder, exchanges heartbeats with the other workers, and retires and unloads versions. Loading runs
beside it. A pass is short and updates the `VersionResolver` in one assignment. While the store is unreachable, new
versions are still loaded, and none is retired or unloaded. A version is published to the other workers before it serves
its first request here, because a client can take its session from one worker to any other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from service.application.model_versions.resolver import VersionAvailability, VersionResolver
from service.application.model_versions.retirement import Retirement, RetirementPlan
from service.application.model_versions.session_scan import DrainScans
from service.application.ports import Clock, Engine, ModelObserver, ModelRepository, WorkerRegistry
from service.domain.errors import ModelFolderError, UnrollError
from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.operations import Json

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ModelReconciler:
    """Reconciler of one worker. The other workers' versions count as known for `heartbeat_timeout` seconds."""

    models: VersionResolver
    engine: Engine
    repository: ModelRepository
    workers: WorkerRegistry
    observer: ModelObserver
    clock: Clock
    retirement: Retirement
    scans: DrainScans
    heartbeat_timeout: float
    _folders: list[VersionFolder] = field(default_factory=list)
    _cluster: ClusterView = field(default_factory=ClusterView)
    _last_heartbeat: float = float("-inf")
    _published: list[ServedVersion] = field(default_factory=list)
    _joining: VersionKey | None = None
    _missing: bool = False

    async def start(self) -> None:
        """Load all versions of the folder before the first request."""
        while folders := _settled(await self.reconcile()):
            for folder in folders:
                await self._load(folder)  # the next pass publishes all of them

    async def run(self, every_seconds: float) -> None:
        """Reconcile every `every_seconds`, and load one version at a time meanwhile. Runs until it is cancelled."""
        loading: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:  # it cancels a load in progress and waits for its end
            while True:
                if loading is None:
                    await asyncio.sleep(every_seconds)
                else:
                    await asyncio.wait([loading], timeout=every_seconds)
                if loading is not None and loading.done():
                    loading = None
                folders = await self._reconcile_or_log()
                if folders and loading is None:
                    loading = tasks.create_task(self._load_or_log(folders[0], every_seconds))

    async def _reconcile_or_log(self) -> list[VersionFolder]:
        """Run one pass and return the folders to load. The next pass may succeed; loaded versions still serve."""
        try:
            return _settled(await self.reconcile())
        except Exception as error:
            log.error("model reconciliation failed", exc_info=error)
            return []

    async def _load_or_log(self, folder: VersionFolder, retry_seconds: float) -> None:
        """Load a version. After a failure, end only after `retry_seconds`, so that the next attempt waits as long."""
        try:
            await self.load(folder)
        except Exception as error:
            log.error("model reconciliation failed", exc_info=error)
            await asyncio.sleep(retry_seconds)

    async def stop(self) -> None:
        """Remove this worker's versions from the registry, if the store can be reached."""
        with contextlib.suppress(UnrollError):
            await self.workers.deregister()

    async def reconcile(self) -> RetirementPlan:
        """Run one pass and return its plan. The caller loads the folders that the plan awaits."""
        await self._scan_folders()
        cluster = await self._heartbeat()
        plan = self._publish_availability()
        if cluster is not None:
            with contextlib.suppress(UnrollError):
                await self._apply_marks(plan)
                await self._scan_sessions(cluster)
            for version_key in plan.unload:
                self._unload(version_key, cluster.marks[version_key])
            if plan.unload:
                self._publish_availability()
        return plan

    async def refresh(self) -> None:
        """Update the resolver's availability from the folder and the registry, without acting on it.

        If the disk or the store is unreachable, the last known view remains.
        """
        await asyncio.gather(self._refresh_folders(), self._refresh_cluster())
        self._publish_availability()

    async def load(self, folder: VersionFolder) -> None:
        """Load a version beside the others, announce it, and serve it."""
        try:
            await self._load(folder, self._announce)
        finally:
            self._joining = None

    async def _load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> None:
        before = {(one.name, one.version): one for one in self.engine.versions()}
        version = await self.repository.load(folder, announce)
        if version is None:
            return
        self._publish_availability()
        replaced = before.get((version.name, version.version))
        if replaced is not None and replaced.version_key != version.version_key:
            self.observer.model_unloaded(replaced)
            log.info("model version unloaded", extra={**_names(replaced.version_key), "reason": "changed in place"})
        self.observer.model_loaded(version)
        log.info("model version loaded", extra=_summary(version))

    async def _announce(self, version_key: VersionKey) -> None:
        """Publish a version that is about to be served; a pass that runs meanwhile publishes it too.

        Everything else is published unchanged: reporting recent use is left to the passes.
        """
        self._joining = version_key
        with contextlib.suppress(UnrollError):
            await self.workers.heartbeat([*self._published, ServedVersion(version_key, open=True)])

    async def _refresh_folders(self) -> None:
        with contextlib.suppress(ModelFolderError, OSError):
            listed = await self.repository.list_folders()
            # Only a pass decides that a folder is gone.
            there = {(folder.model, folder.version): folder for folder in (*self._folders, *listed)}
            self._folders = sorted(there.values(), key=lambda folder: (folder.model, -int(folder.version)))

    async def _refresh_cluster(self) -> None:
        with contextlib.suppress(UnrollError):
            self._cluster = await self.workers.view()
            self._last_heartbeat = self.clock.monotonic()

    async def _scan_folders(self) -> None:
        try:
            self._folders = await self.repository.scan()
        except ModelFolderError as error:
            # A disk that went away is no reason to stop serving.
            if not self._missing:
                log.error("no models folder", extra={"reason": str(error)})
            self._missing = True
        else:
            self._missing = False

    async def _heartbeat(self) -> ClusterView | None:
        availability, recently_used = self.models.availability, set(self.models.recently_used)
        open_ = availability.open if availability is not None else frozenset()
        loaded = [one.version_key for one in self.engine.versions()]
        self._published = [ServedVersion(one, one in open_, one in recently_used) for one in loaded]
        if self._joining is not None:
            self._published.append(ServedVersion(self._joining, open=True))
        try:
            self._cluster = cluster = await self.workers.heartbeat(self._published)
        except UnrollError:
            return None
        self.models.recently_used -= recently_used
        self._last_heartbeat = self.clock.monotonic()
        return cluster

    def _publish_availability(self) -> RetirementPlan:
        """Make a plan from the present view, and publish the availability that follows to the resolver."""
        cluster = self._cluster
        plan = self.retirement.plan(self._folders, [one.version_key for one in self.engine.versions()], cluster)
        others = [one for worker, all_ in cluster.workers.items() if worker != self.workers.worker for one in all_]
        self.models.availability = VersionAvailability(
            open=plan.open,
            elsewhere=frozenset(one.version_key for one in others),
            open_elsewhere=frozenset(one.version_key for one in others if one.open),
            awaited=frozenset((folder.model, folder.version) for folder in plan.awaited),
            informed=self.clock.monotonic() - self._last_heartbeat <= self.heartbeat_timeout,
        )
        return plan

    async def _apply_marks(self, plan: RetirementPlan) -> None:
        for version_key, mark in plan.mark.items():
            await self.workers.mark_retiring(version_key, mark)
            log.info("model version retiring", extra={**_names(version_key), "reason": mark.reason})
        for version_key in plan.unmark:
            await self.workers.unmark_retiring(version_key)
            log.info("model version no longer retiring", extra=_names(version_key))

    async def _scan_sessions(self, cluster: ClusterView) -> None:
        """Scan for live sessions of retiring versions. The worker whose name sorts first scans for all."""
        served = cluster.version_keys
        mine = self.workers.worker == min(cluster.workers)
        retiring = {one for one in cluster.marks if mine and one in served and not self.retirement.over(one, cluster)}
        self.scans.keep(retiring)
        for version_key in retiring:
            scan = self.scans.of(version_key, cluster)
            if scan.due(cluster.now):
                scan.reached(await self.workers.find_live_session(version_key, scan.at), cluster.now)
            if scan.drained(cluster.now):
                await self.workers.mark_retiring(version_key, replace(cluster.marks[version_key], drained=True))
                log.info("model version drained", extra=_names(version_key))

    def _unload(self, version_key: VersionKey, mark: RetirementMark) -> None:
        (version,) = (one for one in self.engine.versions() if one.version_key == version_key)
        self.repository.unload(version_key)
        self.observer.model_unloaded(version)
        why = "no session needs it" if mark.drained else "its grace time is over"
        log.info("model version unloaded", extra={**_names(version_key), "reason": why})


def _settled(plan: RetirementPlan) -> list[VersionFolder]:
    return [folder for folder in plan.awaited if folder.settled]


def _names(version_key: VersionKey) -> dict[str, Json]:
    return {"model": version_key.model, "version": version_key.version, "fingerprint": version_key.fingerprint}


def _summary(version: ModelVersion) -> dict[str, Json]:
    return {**_names(version.version_key), "verified": version.verified, "seconds": round(version.load_seconds, 3)}
