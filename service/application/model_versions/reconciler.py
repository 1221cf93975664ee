"""Model upgrades while the service runs: looks at the folders again and again, loads aside, retires, unloads.

A look is short and changes what `VersionResolver` knows in one assignment. Where the store is away, new versions still
join, and nothing is retired or unloaded. A version is published to the other workers before it serves its first request
here: a client can take what it got from one worker to any other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from service.application.model_versions.resolver import VersionAvailability, VersionResolver
from service.application.model_versions.retirement import Retirement, RetirementPlan
from service.application.model_versions.session_scan import DrainScans
from service.application.ports import Clock, Engine, ModelRepository, Observer, WorkerRegistry
from service.domain.errors import ModelFolderError, UnrollError
from service.domain.models import ClusterView, ModelVersion, RetirementMark, ServedVersion, VersionFolder, VersionKey
from service.domain.operations import Json

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ModelReconciler:
    """Keeps the served versions those that should be; another worker counts as informed for `fresh_seconds`."""

    models: VersionResolver
    engine: Engine
    shelf: ModelRepository
    fleet: WorkerRegistry
    observer: Observer
    clock: Clock
    retirement: Retirement
    searches: DrainScans
    fresh_seconds: float
    _folders: list[VersionFolder] = field(default_factory=list)
    _meeting: ClusterView = field(default_factory=ClusterView)
    _heard_at: float = float("-inf")
    _told: list[ServedVersion] = field(default_factory=list)
    _joining: VersionKey | None = None
    _missing: bool = False

    async def start(self) -> None:
        """Load what lies there, before the first request."""
        while due := [folder for folder in (await self.look()).awaited if folder.settled]:
            for folder in due:
                await self._load(folder)  # the look after it tells of all of them, before the first request

    async def run(self, every_seconds: float) -> None:
        """Look again and again, and load one version at a time meanwhile."""
        loading: asyncio.Task[None] | None = None
        try:
            while True:
                if loading is None:
                    await asyncio.sleep(every_seconds)
                else:
                    await asyncio.wait([loading], timeout=every_seconds)
                try:
                    if loading is not None and loading.done():
                        done, loading = loading, None
                        done.result()
                    due = [folder for folder in (await self.look()).awaited if folder.settled]
                    if due and loading is None:
                        loading = asyncio.create_task(self.load(due[0]))
                except Exception as error:  # the next look may go better; what is loaded serves
                    log.error("looking after the models failed", exc_info=error)
        finally:
            if loading is not None:
                loading.cancel()

    async def stop(self) -> None:
        """Tell the other workers that this one serves nothing any more, if the store can be reached."""
        with contextlib.suppress(UnrollError):
            await self.fleet.deregister()

    async def look(self) -> RetirementPlan:
        """See what lies there, tell and hear what the workers serve, and do what follows, but for loading."""
        await self._see_folders()
        meeting = await self._heartbeat()
        plan = self._stand()
        if meeting is not None:
            with contextlib.suppress(UnrollError):
                await self._agree(plan)
                await self._search(meeting)
            for edition in plan.unload:
                self._unload(edition, meeting.marks[edition])
            if plan.unload:
                self._stand()
        return plan

    async def refresh(self) -> None:
        """See what lies there and hear what the workers serve as of now, and let requests see it; do nothing about it.

        Where the disk or the store is away, what was seen or heard last stands.
        """
        await asyncio.gather(self._glance(), self._hear())
        self._stand()

    async def load(self, folder: VersionFolder) -> None:
        """Load a version aside, have it join, and serve it from the same moment on."""
        try:
            await self._load(folder, self._announce)
        finally:
            self._joining = None

    async def _load(
        self, folder: VersionFolder, announce: Callable[[VersionKey], Awaitable[None]] | None = None
    ) -> None:
        before = {(one.name, one.version): one for one in self.engine.versions()}
        version = await self.shelf.load(folder, announce)
        if version is None:
            return
        self._stand()
        replaced = before.get((version.name, version.version))
        if replaced is not None and replaced.edition != version.edition:
            self.observer.model_unloaded(replaced)
            log.info("model version unloaded", extra={**_names(replaced.edition), "reason": "changed in place"})
        self.observer.model_loaded(version)
        log.info("model version loaded", extra=_summary(version))

    async def _announce(self, edition: VersionKey) -> None:
        """Tell the other workers of an edition that is about to join; a look meanwhile tells of it, too.

        What else was told stands: it is for looks to say what moved.
        """
        self._joining = edition
        with contextlib.suppress(UnrollError):
            await self.fleet.heartbeat([*self._told, ServedVersion(edition, open=True)])

    async def _glance(self) -> None:
        with contextlib.suppress(ModelFolderError, OSError):
            glimpsed = await self.shelf.glance()
            # It is for looks to say what is gone.
            there = {(folder.model, folder.version): folder for folder in (*self._folders, *glimpsed)}
            self._folders = sorted(there.values(), key=lambda folder: (folder.model, -int(folder.version)))

    async def _hear(self) -> None:
        with contextlib.suppress(UnrollError):
            self._meeting = await self.fleet.view()
            self._heard_at = self.clock.monotonic()

    async def _see_folders(self) -> None:
        try:
            self._folders = await self.shelf.look()
        except ModelFolderError as error:
            # A disk that went away is no reason to stop serving.
            if not self._missing:
                log.error("no models folder", extra={"reason": str(error)})
            self._missing = True
        else:
            self._missing = False

    async def _heartbeat(self) -> ClusterView | None:
        standing, touched = self.models.standing, set(self.models.touched)
        open_ = standing.open if standing is not None else frozenset()
        loaded = [one.edition for one in self.engine.versions()]
        self._told = [ServedVersion(one, one in open_, one in touched) for one in loaded]
        if self._joining is not None:
            self._told.append(ServedVersion(self._joining, open=True))
        try:
            self._meeting = meeting = await self.fleet.heartbeat(self._told)
        except UnrollError:
            return None
        self.models.touched -= touched
        self._heard_at = self.clock.monotonic()
        return meeting

    def _stand(self) -> RetirementPlan:
        """Plan by what is known, and let requests see it."""
        meeting = self._meeting
        plan = self.retirement.plan(self._folders, [one.edition for one in self.engine.versions()], meeting)
        others = [one for worker, all_ in meeting.workers.items() if worker != self.fleet.worker for one in all_]
        self.models.standing = VersionAvailability(
            open=plan.open,
            elsewhere=frozenset(one.edition for one in others),
            open_elsewhere=frozenset(one.edition for one in others if one.open),
            awaited=frozenset((folder.model, folder.version) for folder in plan.awaited),
            informed=self.clock.monotonic() - self._heard_at <= self.fresh_seconds,
        )
        return plan

    async def _agree(self, plan: RetirementPlan) -> None:
        for edition, mark in plan.mark.items():
            await self.fleet.mark_retiring(edition, mark)
            log.info("model version retiring", extra={**_names(edition), "reason": mark.reason})
        for edition in plan.unmark:
            await self.fleet.unmark_retiring(edition)
            log.info("model version no longer retiring", extra=_names(edition))

    async def _search(self, meeting: ClusterView) -> None:
        """Look for live sessions of retiring versions; the worker whose name comes first does it for all."""
        served = meeting.editions
        mine = self.fleet.worker == min(meeting.workers)
        retiring = {one for one in meeting.marks if mine and one in served and not self.retirement.over(one, meeting)}
        self.searches.keep(retiring)
        for edition in retiring:
            search = self.searches.of(edition, meeting)
            if search.due(meeting.now):
                search.reached(await self.fleet.find_live_session(edition, search.at), meeting.now)
            if search.drained(meeting.now):
                await self.fleet.mark_retiring(edition, replace(meeting.marks[edition], drained=True))
                log.info("model version drained", extra=_names(edition))

    def _unload(self, edition: VersionKey, mark: RetirementMark) -> None:
        (version,) = (one for one in self.engine.versions() if one.edition == edition)
        self.shelf.unload(edition)
        self.observer.model_unloaded(version)
        why = "no session needs it" if mark.drained else "its grace time is over"
        log.info("model version unloaded", extra={**_names(edition), "reason": why})


def _names(edition: VersionKey) -> dict[str, Json]:
    return {"model": edition.model, "version": edition.version, "fingerprint": edition.fingerprint}


def _summary(version: ModelVersion) -> dict[str, Json]:
    return {**_names(version.edition), "verified": version.verified, "seconds": round(version.load_seconds, 3)}
