"""Marks of retiring versions in the registry of workers: set, removed, and set to drained when no session is left."""

import contextlib
import logging
from dataclasses import dataclass, replace

from service.application.model_versions.retirement import Retirement, RetirementPlan
from service.application.model_versions.session_scan import DrainScans
from service.application.ports import WorkerRegistry
from service.domain.errors import UnrollError
from service.domain.models import ClusterView

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirementMarks:
    """Writer of the marks in `registry`, which all workers share."""

    registry: WorkerRegistry
    retirement: Retirement
    scans: DrainScans

    async def update(self, plan: RetirementPlan, cluster: ClusterView) -> None:
        """Set and remove the marks of a plan, and scan for sessions. A later call does what the store prevents."""
        with contextlib.suppress(UnrollError):
            await self._apply(plan)
            await self._scan_sessions(cluster)

    async def _apply(self, plan: RetirementPlan) -> None:
        for version_key, mark in plan.mark.items():
            await self.registry.mark_retiring(version_key, mark)
            log.info("model version retiring", extra={**version_key.names(), "reason": mark.reason})
        for version_key in plan.unmark:
            await self.registry.unmark_retiring(version_key)
            log.info("model version no longer retiring", extra=version_key.names())

    async def _scan_sessions(self, cluster: ClusterView) -> None:
        """Scan for live sessions of retiring versions, and mark those that have none.

        The worker whose name sorts first scans for all.
        """
        first = self.registry.worker == min(cluster.workers)
        retiring = self.retirement.in_grace_time(cluster) if first else set()
        self.scans.retain(retiring)
        for version_key in retiring:
            scan = self.scans.get(version_key, cluster)
            if scan.can_continue(cluster.now):
                scan.advance(await self.registry.find_live_session(version_key, scan.position), cluster.now)
            if scan.confirmed(cluster.now):
                await self.registry.mark_retiring(version_key, replace(cluster.marks[version_key], drained=True))
                log.info("model version drained", extra=version_key.names())
