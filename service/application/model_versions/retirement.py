"""Retirement rules: which versions take new sessions, which retire, and which may be unloaded. Time is an argument.

A version retires when its folder is removed, or when a newer version of its model is loaded while the service runs.
Versions that were present together when a worker started serve beside each other. The newest version on disk takes new
sessions even if it is marked as retiring, so that a worker continues that has not loaded the newer one yet, or cannot.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from service.domain.models import ClusterView, RetirementMark, VersionFolder, VersionKey

#: Time that the mark of a version that no worker has any more is kept after its grace time.
MARK_RETENTION_MS = 24 * 60 * 60 * 1000


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
        names = {(folder.model, folder.version) for folder in folders}
        present = {version_key for version_key in loaded if _name_of(version_key) in names}
        newest = _newest(present)
        awaited = self.awaited(folders, loaded, cluster)
        open_versions = self._stand_ins(awaited, loaded, present) | {
            version_key for version_key in present if version_key in newest or not self._is_marked(version_key, cluster)
        }
        self._record_superseded(newest, open_versions, cluster)
        return RetirementPlan(
            open=frozenset(open_versions),
            awaited=tuple(awaited),
            unload=tuple(
                version_key
                for version_key in loaded
                if version_key not in open_versions and self.is_over(version_key, cluster)
            ),
            mark=self._new_marks(folders, set(loaded) - present, cluster),
            unmark=(*self._contradicted_marks(present, newest, cluster), *self._outdated_marks(names, cluster)),
        )

    def awaited(
        self, folders: Iterable[VersionFolder], loaded: Collection[VersionKey], cluster: ClusterView
    ) -> list[VersionFolder]:
        """Return the folders to load: all that are not loaded, not refused, not of unloaded models and still needed."""
        awaited: list[VersionFolder] = []
        models_with_newer: set[str] = set()
        for folder in folders:
            if folder.refused or folder.model in cluster.unloaded:
                continue
            superseded = folder.model in models_with_newer and self._is_retired(folder, cluster)
            if version_key_of(folder) not in loaded and not superseded:
                awaited.append(folder)
            models_with_newer.add(folder.model)
        return awaited

    def in_grace_time(self, cluster: ClusterView) -> set[VersionKey]:
        """Return the retiring versions that workers still serve and that sessions may still use."""
        served = cluster.version_keys
        return {
            version_key
            for version_key in cluster.marks
            if version_key in served and not self.is_over(version_key, cluster)
        }

    def is_over(self, version_key: VersionKey, cluster: ClusterView) -> bool:
        """Return whether no session may depend on a retiring version any more."""
        mark = cluster.marks.get(version_key)
        return mark is not None and (mark.drained or mark.since + self.grace_ms <= cluster.now)

    def _is_marked(self, version_key: VersionKey, cluster: ClusterView) -> bool:
        mark = cluster.marks.get(version_key)
        return mark is not None and (self.retire_superseded or mark.reason == "removed")

    def _is_retired(self, folder: VersionFolder, cluster: ClusterView) -> bool:
        """Return whether the version of a folder is marked, and its retirement is over."""
        return any(
            self._is_marked(version_key, cluster) and self.is_over(version_key, cluster)
            for version_key, mark in cluster.marks.items()
            if _name_of(version_key) == (folder.model, folder.version)
            and (version_key.fingerprint == folder.fingerprint or mark.signature == folder.signature)
        )

    def _stand_ins(
        self, awaited: Iterable[VersionFolder], loaded: Iterable[VersionKey], present: Iterable[VersionKey]
    ) -> set[VersionKey]:
        """Return the removed versions that stay open until a version on disk, the one before them, is loaded again."""
        waiting = {folder.model for folder in awaited} - {version_key.model for version_key in present}
        return _newest(version_key for version_key in loaded if version_key.model in waiting)

    def _record_superseded(
        self, newest: Collection[VersionKey], open_versions: Collection[VersionKey], cluster: ClusterView
    ) -> None:
        """Record which versions a new version supersedes. They are marked once the store can be reached."""
        for top in newest:
            if self.retire_superseded and top.number > self._newest.get(top.model, top.number):
                self._superseded |= {older for older in open_versions if older.model == top.model and older != top}
            self._newest[top.model] = top.number
        self._superseded -= cluster.marks.keys() | set(newest)

    def _new_marks(
        self, folders: Iterable[VersionFolder], removed: Iterable[VersionKey], cluster: ClusterView
    ) -> dict[VersionKey, RetirementMark]:
        signatures = {version_key_of(folder): folder.signature for folder in folders}
        marks = {
            version_key: RetirementMark(cluster.now, "superseded", signatures.get(version_key, ""))
            for version_key in self._superseded
        }
        marks |= {version_key: RetirementMark(cluster.now, "removed") for version_key in removed}
        return {version_key: mark for version_key, mark in marks.items() if version_key not in cluster.marks}

    def _contradicted_marks(
        self, present: Iterable[VersionKey], newest: Collection[VersionKey], cluster: ClusterView
    ) -> list[VersionKey]:
        """Return the marks that the folder contradicts. If disks differ, a newer version elsewhere takes precedence."""
        return [
            version_key
            for version_key in present
            if version_key in cluster.marks
            and (
                cluster.marks[version_key].reason == "removed"
                or not self.retire_superseded
                or (version_key in newest and newest_open(cluster, version_key.model) <= version_key.number)
            )
        ]

    def _outdated_marks(self, names: Collection[tuple[str, str]], cluster: ClusterView) -> list[VersionKey]:
        """Return the old marks of versions that no worker and no disk has any more."""
        served = cluster.version_keys
        return [
            version_key
            for version_key, mark in cluster.marks.items()
            if mark.since + self.grace_ms + MARK_RETENTION_MS <= cluster.now
            and _name_of(version_key) not in names
            and version_key not in served
        ]


def version_key_of(folder: VersionFolder) -> VersionKey:
    """Return the version key of a folder, with an empty fingerprint if that is unknown."""
    return VersionKey(folder.model, folder.version, folder.fingerprint or "")


def newest_open(cluster: ClusterView, model: str) -> int:
    """Return the number of the newest version that takes new sessions on any worker, or -1."""
    open_versions = (served.version_key for served in cluster.served if served.accepts_sessions)
    return max((version_key.number for version_key in open_versions if version_key.model == model), default=-1)


def _name_of(version_key: VersionKey) -> tuple[str, str]:
    return version_key.model, version_key.version


def _newest(version_keys: Iterable[VersionKey]) -> set[VersionKey]:
    newest: dict[str, VersionKey] = {}
    for version_key in version_keys:
        if version_key.model not in newest or newest[version_key.model].number < version_key.number:
            newest[version_key.model] = version_key
    return set(newest.values())
