"""Membership of a worker in the cluster: it publishes its versions, and knows those of the other workers."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from service.application.ports import Clock, WorkerRegistry
from service.domain.errors import UnrollError
from service.domain.models import ClusterView, ServedVersion, VersionKey


@dataclass(slots=True, kw_only=True)
class ClusterMembership:
    """Membership of one worker. While the store is unreachable, `view` stays as it is.

    The view counts as recent for `timeout` seconds.
    """

    registry: WorkerRegistry
    clock: Clock
    timeout: float
    view: ClusterView = field(default_factory=ClusterView)
    _seen_at: float = float("-inf")
    _published: list[ServedVersion] = field(default_factory=list)
    _joining: VersionKey | None = None

    @property
    def recent(self) -> bool:
        """Whether the view is recent."""
        return self.clock.monotonic() - self._seen_at <= self.timeout

    def others(self) -> list[ServedVersion]:
        """Return the versions of all other workers."""
        workers = self.view.workers.items()
        return [version for worker, versions in workers if worker != self.registry.worker for version in versions]

    async def heartbeat(self, served: Iterable[ServedVersion]) -> ClusterView | None:
        """Publish the versions that this worker serves; return the new view, or None if the store is unreachable."""
        self._published = list(served)
        if self._joining is not None:
            self._published.append(ServedVersion(self._joining, accepts_sessions=True))
        try:
            self._update(await self.registry.heartbeat(self._published))
        except UnrollError:
            return None
        return self.view

    async def refresh(self) -> None:
        """Update the view, if the store can be reached, without publishing anything."""
        with contextlib.suppress(UnrollError):
            self._update(await self.registry.view())

    async def announce(self, version_key: VersionKey) -> None:
        """Publish a version before it serves; heartbeats publish it too, until `end_announcement`.

        The other versions are published unchanged: only heartbeats report recent use.
        """
        self._joining = version_key
        with contextlib.suppress(UnrollError):
            await self.registry.heartbeat([*self._published, ServedVersion(version_key, accepts_sessions=True)])

    def end_announcement(self) -> None:
        """End the announcement of a version: it serves by now, or is not going to."""
        self._joining = None

    async def leave(self) -> None:
        """Remove this worker's versions from the registry, if the store can be reached."""
        with contextlib.suppress(UnrollError):
            await self.registry.deregister()

    def _update(self, view: ClusterView) -> None:
        self.view, self._seen_at = view, self.clock.monotonic()
