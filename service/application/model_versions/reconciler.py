"""Reconciliation of the loaded model versions with the model folder, while the service runs.

Each pass scans the folder, exchanges heartbeats with the other workers, and retires and unloads versions. Loading runs
beside it. A pass is short and updates the `VersionResolver` in one assignment. While the store is unreachable, new
versions are still loaded, and none is retired or unloaded. Models that a client has unloaded leave as soon as the
worker hears of it, and their folders are not loaded. A version is published to the other workers before it serves
its first request here, because a client can take its session from one worker to any other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from service.application.model_versions.availability import VersionAvailability
from service.application.model_versions.membership import ClusterMembership
from service.application.model_versions.resolver import VersionResolver
from service.application.model_versions.retirement import Retirement, RetirementPlan
from service.application.model_versions.retirement_marks import RetirementMarks
from service.application.ports import Engine, ModelObserver, ModelRepository
from service.domain.errors import ModelFolderError
from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.operations import Json

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ModelReconciler:
    """Reconciler of one worker. `start` and `run` call `reconcile`, which runs one pass."""

    models: VersionResolver
    engine: Engine
    repository: ModelRepository
    membership: ClusterMembership
    observer: ModelObserver
    retirement: Retirement
    marks: RetirementMarks
    _folders: list[VersionFolder] = field(default_factory=list)
    _folder_missing: bool = False

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
        """Leave the cluster, if the store can be reached."""
        await self.membership.leave()

    async def reconcile(self) -> RetirementPlan:
        """Run one pass and return its plan. The caller loads the folders that the plan awaits."""
        await self._scan_folders()
        cluster = await self._heartbeat()
        if self._unload_requested():
            cluster = await self._heartbeat() or cluster
        plan = self._publish_availability()
        if cluster is not None:
            await self.marks.update(plan, cluster)
            for version_key in plan.unload:
                self._unload_retired(version_key, cluster.marks[version_key])
            if plan.unload:
                self._publish_availability()
        return plan

    async def refresh(self) -> None:
        """Update the resolver's availability from the folder and the registry.

        Only models that a client has unloaded leave at once; all else is left to the next pass. If the disk or the
        store is unreachable, the last known view remains.
        """
        await asyncio.gather(self._refresh_folders(), self.membership.refresh())
        self._unload_requested()
        self._publish_availability()

    async def load(self, folder: VersionFolder) -> None:
        """Load a version beside the others, announce it, and serve it."""
        try:
            await self._load(folder, self.membership.announce)
        finally:
            self.membership.end_announcement()

    async def _load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> None:
        before = {(version.name, version.version): version for version in self.engine.versions()}
        version = await self.repository.load(folder, announce)
        if version is None:
            return
        replaced = before.get((version.name, version.version))
        if replaced is not None and replaced.version_key != version.version_key:
            self.observer.model_unloaded(replaced)
            log.info("model version unloaded", extra={**replaced.version_key.names(), "reason": "changed in place"})
        self.observer.model_loaded(version)
        log.info("model version loaded", extra=_summary(version))
        self._unload_requested()
        self._publish_availability()

    async def _refresh_folders(self) -> None:
        with contextlib.suppress(ModelFolderError, OSError):
            listed = await self.repository.list_folders()
            # Only a pass decides that a folder is gone.
            folders = {(folder.model, folder.version): folder for folder in (*self._folders, *listed)}
            self._folders = sorted(folders.values(), key=lambda folder: (folder.model, -int(folder.version)))

    async def _scan_folders(self) -> None:
        try:
            self._folders = await self.repository.scan()
        except ModelFolderError as error:
            # The loaded versions still serve without the disk.
            if not self._folder_missing:
                log.error("models folder not found", extra={"reason": str(error)})
            self._folder_missing = True
        else:
            self._folder_missing = False

    async def _heartbeat(self) -> ClusterView | None:
        """Publish what this worker serves, and which retiring versions were used since the last heartbeat."""
        open_versions, recently_used = self.models.availability.open or frozenset(), set(self.models.recently_used)
        cluster = await self.membership.heartbeat(
            [
                ServedVersion(version_key, version_key in open_versions, version_key in recently_used)
                for version_key in self._loaded_keys()
            ]
        )
        if cluster is not None:
            self.models.recently_used -= recently_used
        return cluster

    def _publish_availability(self) -> RetirementPlan:
        """Make a plan from the present view, and publish the availability that follows to the resolver."""
        plan = self.retirement.plan(self._folders, self._loaded_keys(), self.membership.view)
        unloaded = self.membership.view.unloaded
        others = [served for served in self.membership.others() if served.version_key.model not in unloaded]
        self.models.availability = VersionAvailability(
            open=plan.open,
            elsewhere=frozenset(served.version_key for served in others),
            open_elsewhere=frozenset(served.version_key for served in others if served.accepts_sessions),
            awaited=frozenset((folder.model, folder.version) for folder in plan.awaited),
            unloaded={
                model: tuple(folder.version for folder in reversed(self._folders) if folder.model == model)
                for model in unloaded.intersection(folder.model for folder in self._folders)
            },
            informed=self.membership.recent,
        )
        return plan

    def _loaded_keys(self) -> list[VersionKey]:
        return [version.version_key for version in self.engine.versions()]

    def _unload_requested(self) -> bool:
        """Unload all versions of the models that a client has unloaded; return whether there were any."""
        unloaded = self.membership.view.unloaded
        requested = [version for version in self.engine.versions() if version.name in unloaded]
        for version in requested:
            self._unload(version, "a client asked for it")
        return bool(requested)

    def _unload_retired(self, version_key: VersionKey, mark: RetirementMark) -> None:
        for version in self.engine.versions():  # a client may have unloaded it meanwhile
            if version.version_key == version_key:
                self._unload(version, "no session needs it" if mark.drained else "its grace time is over")

    def _unload(self, version: ModelVersion, reason: str) -> None:
        self.repository.unload(version.version_key)
        self.observer.model_unloaded(version)
        log.info("model version unloaded", extra={**version.version_key.names(), "reason": reason})


def _settled(plan: RetirementPlan) -> list[VersionFolder]:
    return [folder for folder in plan.awaited if folder.settled]


def _summary(version: ModelVersion) -> dict[str, Json]:
    return {**version.version_key.names(), "verified": version.verified, "seconds": round(version.load_seconds, 3)}
