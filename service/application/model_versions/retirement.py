"""Which versions take new sessions, which are on their way out, and which may be unloaded. Time is an argument.

A version is retiring when its folder is gone, or when a newer one of its model joined while the service ran. Versions
that lay there together when a worker started serve beside each other. The newest version on disk takes new sessions
whatever is said of it: so a worker goes on that has not loaded the newer one yet, or never can.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from service.domain.models import ClusterView, RetirementMark, VersionFolder, VersionKey

#: How long a mark outlives the grace time of a version that is nowhere any more.
FORGOTTEN_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class RetirementPlan:
    """What follows from a look at the folders and at what all workers know.

    `open` take new sessions. `awaited` are folders that lie there and are not loaded as they stand, in the order to
    load them in. What is in `unmark` serves again, or is nowhere any more.
    """

    open: frozenset[VersionKey]
    awaited: tuple[VersionFolder, ...]
    unload: tuple[VersionKey, ...]
    mark: dict[VersionKey, RetirementMark]
    unmark: tuple[VersionKey, ...]


@dataclass(slots=True)
class Retirement:
    """The rules, and what they have to remember of earlier looks.

    Args:
        grace_ms: how long the sessions of a retiring version may go on.
        retire_superseded: False keeps serving what a newer version joined.
    """

    grace_ms: int
    retire_superseded: bool = True
    _newest: dict[str, int] = field(default_factory=dict)
    _superseded: set[VersionKey] = field(default_factory=set)

    def plan(
        self, folders: Collection[VersionFolder], loaded: Collection[VersionKey], cluster: ClusterView
    ) -> RetirementPlan:
        """Decide; `folders` have the newest of each model first, `loaded` are what this worker serves."""
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
        """The folders to load: all but what is loaded, was refused, or nobody needs any more."""
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
        """Remember whom a version supersedes that was not there before."""
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
        """Marks that are wrong by what lies here; where disks differ, a newer version elsewhere stands above this."""
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
    """What the folder holds, by an empty fingerprint where that is not known."""
    return VersionKey(folder.model, folder.version, folder.fingerprint or "")


def newest_open(cluster: ClusterView, model: str) -> int:
    """The number of the newest version that takes new sessions anywhere, -1 where none does."""
    numbers = (one.version_key.number for one in cluster.served if one.open and one.version_key.model == model)
    return max(numbers, default=-1)


def _newest(version_keys: Iterable[VersionKey]) -> set[VersionKey]:
    newest: dict[str, VersionKey] = {}
    for one in version_keys:
        if one.model not in newest or newest[one.model].number < one.number:
            newest[one.model] = one
    return {*newest.values()}
