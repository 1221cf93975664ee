"""Whether a retiring version still has live sessions: found out by looking for one, never by counting them.

The search is one pass over the sessions, from the oldest on. It rests at a live one, the witness, until that is gone,
and starts anew when the version's sessions moved meanwhile: one may have been forked, and its copy entered where the
search has been. Workers tell of such moves at their next look; `margin_ms` is how late that can be.
"""

from dataclasses import dataclass, field

from service.domain.models import ClusterView, VersionKey
from service.domain.sessions import IndexPosition


@dataclass(slots=True)
class DrainScan:
    """For a session on one version; times are milliseconds on the store's clock."""

    margin_ms: int
    quiet_since: int
    at: IndexPosition | None = None
    ended_at: int | None = None

    def due(self, now: int) -> bool:
        """Whether the time is right to go on searching."""
        return self.ended_at is None and now - self.quiet_since >= self.margin_ms

    def reached(self, place: IndexPosition | None, now: int) -> None:
        """Go on from `place` at the next look; None: the search passed the end without finding one."""
        self.at = place
        self.ended_at = now if place is None else None

    def drained(self, now: int) -> bool:
        """Whether there is no session, and was none that moved while this was found out."""
        return self.ended_at is not None and now - self.ended_at >= self.margin_ms


@dataclass(slots=True)
class DrainScans:
    """One for each retiring version, begun anew where its sessions move or new ones are still opened."""

    margin_ms: int
    _searches: dict[VersionKey, DrainScan] = field(default_factory=dict)

    def of(self, version_key: VersionKey, cluster: ClusterView) -> DrainScan:
        """The search for a session on `version_key`, as it stands at this look."""
        every = (one for one in cluster.served if one.version_key == version_key)
        if version_key not in self._searches or any(one.open or one.recently_used for one in every):
            self._searches[version_key] = DrainScan(self.margin_ms, cluster.now)
        return self._searches[version_key]

    def keep(self, version_keys: set[VersionKey]) -> None:
        """Forget the searches for all others."""
        self._searches = {one: scan for one, scan in self._searches.items() if one in version_keys}
