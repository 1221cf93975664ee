"""Scans for live sessions of retiring versions. One live session is enough to keep a version, so none are counted.

A scan is one pass over the sessions, from the oldest on. It stops at a live session and continues after that has ended.
It restarts if sessions of the version were used meanwhile, because a fork may be listed before the scan's position.
Workers report such use with their next heartbeat; `margin_ms` is the maximum delay of that report.
"""

from dataclasses import dataclass, field

from service.domain.models import ClusterView, VersionKey
from service.domain.sessions import IndexPosition


@dataclass(slots=True)
class DrainScan:
    """Search for a live session that still needs a retiring version. Times are milliseconds on the store's clock."""

    margin_ms: int
    started_at: int
    position: IndexPosition | None = None
    ended_at: int | None = None

    def can_continue(self, now: int) -> bool:
        """Return whether the scan has not ended, and all use before its start is reported."""
        return self.ended_at is None and now - self.started_at >= self.margin_ms

    def advance(self, position: IndexPosition | None, now: int) -> None:
        """Record the position of a live session, where the scan continues, or None at the end of the sessions."""
        self.position = position
        self.ended_at = now if position is None else None

    def confirmed(self, now: int) -> bool:
        """Return whether the version has no session, and all use before the scan's end is reported."""
        return self.ended_at is not None and now - self.ended_at >= self.margin_ms


@dataclass(slots=True)
class DrainScans:
    """Scans of all retiring versions. A scan restarts if sessions of its version are used or still created."""

    margin_ms: int
    _scans: dict[VersionKey, DrainScan] = field(default_factory=dict)

    def get(self, version_key: VersionKey, cluster: ClusterView) -> DrainScan:
        """Return the scan of a version, restarted if its sessions were used."""
        served = (version for version in cluster.served if version.version_key == version_key)
        if version_key not in self._scans or any(
            version.accepts_sessions or version.recently_used for version in served
        ):
            self._scans[version_key] = DrainScan(self.margin_ms, cluster.now)
        return self._scans[version_key]

    def retain(self, version_keys: set[VersionKey]) -> None:
        """Drop the scans of all other versions."""
        self._scans = {version_key: scan for version_key, scan in self._scans.items() if version_key in version_keys}
