"""Scan for live sessions of a retiring version: one live session is enough, so they are never counted.

The scan is one pass over the sessions, from the oldest on. It stops at a live session and continues when that is gone.
It starts again if sessions of the version were used meanwhile, because a fork could have been listed behind the scan.
Workers report such use with their next heartbeat; `margin_ms` is the longest delay of that.
"""

from dataclasses import dataclass, field

from service.domain.models import ClusterView, VersionKey
from service.domain.sessions import IndexPosition


@dataclass(slots=True)
class DrainScan:
    """Scan of one version. Times are milliseconds on the store's clock."""

    margin_ms: int
    quiet_since: int
    at: IndexPosition | None = None
    ended_at: int | None = None

    def due(self, now: int) -> bool:
        """Return whether the scan should continue now."""
        return self.ended_at is None and now - self.quiet_since >= self.margin_ms

    def reached(self, place: IndexPosition | None, now: int) -> None:
        """Record the position of a live session, from which the scan continues, or None at the end of the sessions."""
        self.at = place
        self.ended_at = now if place is None else None

    def drained(self, now: int) -> bool:
        """Return whether the version has no session, and none was used during the scan."""
        return self.ended_at is not None and now - self.ended_at >= self.margin_ms


@dataclass(slots=True)
class DrainScans:
    """Scans of all retiring versions. A scan restarts if sessions of its version are used or still created."""

    margin_ms: int
    _scans: dict[VersionKey, DrainScan] = field(default_factory=dict)

    def of(self, version_key: VersionKey, cluster: ClusterView) -> DrainScan:
        """Return the scan of a version, restarted if its sessions were used."""
        every = (one for one in cluster.served if one.version_key == version_key)
        if version_key not in self._scans or any(one.open or one.recently_used for one in every):
            self._scans[version_key] = DrainScan(self.margin_ms, cluster.now)
        return self._scans[version_key]

    def keep(self, version_keys: set[VersionKey]) -> None:
        """Drop the scans of all other versions."""
        self._scans = {one: scan for one, scan in self._scans.items() if one in version_keys}
