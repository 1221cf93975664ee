"""Retirement rules: which versions take new sessions, which retire, and which may be unloaded. Time is an argument.

A version retires when its folder is removed, or when a newer version of its model is loaded while the service runs.
Versions that were present together when a worker started serve beside each other. The newest version on disk takes new
sessions even if it is marked as retiring, so that a worker continues that has not loaded the newer one yet, or cannot.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from service.domain.models import ClusterView, RetirementMark, VersionFolder, VersionKey

#: Time that a mark remains after the grace time of a version that no worker has any more.
FORGOTTEN_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class RetirementPlan:
    """Plan that follows from a scan of the folder and from the registry of workers.

    `open` versions take new sessions. `awaited` folders are not loaded in their present content, in the order to load
    them. Versions in `unmark` serve again, or no worker has them any more.
    """

    open: frozenset[VersionKey]
    awaited: tuple[VersionFolder, ...]
    unload: tuple[VersionKey, ...]
    mark: dict[VersionKey, RetirementMark]
    unmark: tuple[VersionKey, ...]


@dataclass(slots=True)
class Retirement:
    """Retirement rules with the memory of earlier scans that they need.

    Args:
        grace_ms: the time that sessions of a retiring version may still use it.
        retire_superseded: whether a newer version retires the older ones.
    """

    grace_ms: int
    retire_superseded: bool = True
    _newest: dict[str, int] = field(default_factory=dict)
    _superseded: set[VersionKey] = field(default_factory=set)

    def plan(
        self, folders: Collection[VersionFolder], loaded: Collection[VersionKey], cluster: ClusterView
    ) -> RetirementPlan:
        """Return the plan. `folders` have the newest version of each model first; this worker serves `loaded`."""
        places = {(folder.model, folder.version) for folder in folders}
        there = {one for one in loaded if (one.model, one.version) in places}
        newest = _newest(there)
        awaited = self.awaited(folders, loaded, cluster)
        # What was removed serves on until the one before it is loaded again.
        waiting = {folder.model for folder in awaited} - {one.model for one in there}
        stand_in = _newest(one for one in loaded if one.model in waiting)
        open_ = stand_in | {one for one in there if one in newest or not self._marked(one, cluster)}
        self._note_newer(newest, open_, cluster)
        return RetirementPlan(
            open=frozenset(open_),
            awaited=tuple(awaited),
            unload=tuple(one for one in loaded if one not in open_ and self.over(one, cluster)),
            mark=self._marks(folders, set(loaded) - there, cluster),
            unmark=(*self._restored(there, newest, cluster), *self._forgotten(places, cluster)),
        )

    def awaited(
        self, folders: Iterable[VersionFolder], loaded: Collection[VersionKey], cluster: ClusterView
    ) -> list[VersionFolder]:
        """Return the folders to load: all that are not loaded, not refused and still needed."""
        found: list[VersionFolder] = []
        newer: set[str] = set()
        for folder in folders:
            if folder.broken:
                continue
            version_key = version_key_of(folder)
            if version_key not in loaded and not (folder.model in newer and self._asleep(folder, cluster)):
                found.append(folder)
            newer.add(folder.model)
        return found

    def over(self, version_key: VersionKey, cluster: ClusterView) -> bool:
        """Return whether no session may depend on a retiring version any more."""
        mark = cluster.marks.get(version_key)
        return mark is not None and (mark.drained or mark.since + self.grace_ms <= cluster.now)

    def _marked(self, version_key: VersionKey, cluster: ClusterView) -> bool:
        mark = cluster.marks.get(version_key)
        return mark is not None and (self.retire_superseded or mark.reason == "removed")

    def _asleep(self, folder: VersionFolder, cluster: ClusterView) -> bool:
        return any(
            self._marked(one, cluster) and self.over(one, cluster)
            for one, mark in cluster.marks.items()
            if (one.model, one.version) == (folder.model, folder.version)
            and (one.fingerprint == folder.fingerprint or mark.signature == folder.signature)
        )

    def _note_newer(self, newest: Collection[VersionKey], open_: Collection[VersionKey], cluster: ClusterView) -> None:
        """Record which versions a new version supersedes."""
        for top in newest:
            if self.retire_superseded and top.number > self._newest.get(top.model, top.number):
                self._superseded |= {one for one in open_ if one.model == top.model and one != top}
            self._newest[top.model] = top.number
        # Where the store is away, a mark has to wait.
        self._superseded -= cluster.marks.keys() | set(newest)

    def _marks(
        self, folders: Iterable[VersionFolder], removed: Collection[VersionKey], cluster: ClusterView
    ) -> dict[VersionKey, RetirementMark]:
        signatures = {version_key_of(folder): folder.signature for folder in folders}
        superseded = {
            one: RetirementMark(cluster.now, "superseded", signatures.get(one, "")) for one in self._superseded
        }
        gone = {one: RetirementMark(cluster.now, "removed") for one in removed}
        return {one: mark for one, mark in (superseded | gone).items() if one not in cluster.marks}

    def _restored(
        self, there: Iterable[VersionKey], newest: Collection[VersionKey], cluster: ClusterView
    ) -> list[VersionKey]:
        """Return the marks that the folder contradicts. If disks differ, a newer version elsewhere takes precedence."""
        return [
            one
            for one in there
            if one in cluster.marks
            and (
                cluster.marks[one].reason == "removed"
                or not self.retire_superseded
                or (one in newest and newest_open(cluster, one.model) <= one.number)
            )
        ]

    def _forgotten(self, places: Collection[tuple[str, str]], cluster: ClusterView) -> list[VersionKey]:
        served = cluster.version_keys
        return [
            one
            for one, mark in cluster.marks.items()
            if mark.since + self.grace_ms + FORGOTTEN_MS <= cluster.now
            and (one.model, one.version) not in places
            and one not in served
        ]


def version_key_of(folder: VersionFolder) -> VersionKey:
    """Return the version key of a folder, with an empty fingerprint if that is unknown."""
    return VersionKey(folder.model, folder.version, folder.fingerprint or "")


def newest_open(cluster: ClusterView, model: str) -> int:
    """Return the number of the newest version that takes new sessions on any worker, or -1."""
    numbers = (one.version_key.number for one in cluster.served if one.open and one.version_key.model == model)
    return max(numbers, default=-1)


def _newest(version_keys: Iterable[VersionKey]) -> set[VersionKey]:
    newest: dict[str, VersionKey] = {}
    for one in version_keys:
        if one.model not in newest or newest[one.model].number < one.number:
            newest[one.model] = one
    return {*newest.values()}
