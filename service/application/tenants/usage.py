"""Usage of tenants: what they have over all workers, their limits, and what these leave."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from service.application.access.key_ring import KeyRing
from service.application.limits.rate_limits import RateLimits
from service.application.ports import StateStore
from service.application.request_context import RequestContext
from service.application.tenants.acting import ALL_TENANTS, require_tenant
from service.domain.limits import LimitsOfTenants, TenantLimits
from service.domain.operations import Json
from service.domain.sessions import StoreUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Use case of usage. Nothing is counted for it: it reads what the limits themselves look at."""

    store: StateStore
    limits: LimitsOfTenants
    rate_limits: RateLimits | None
    keys: KeyRing

    async def of(self, context: RequestContext, tenant: str | None) -> dict[str, Json]:
        """Return the usage of the client's tenant, or of the one that it names; ALL_TENANTS of every one.

        Raises NotAllowed for another tenant than the client's own, unless the client is an administrator.
        """
        if tenant is not None:
            require_tenant(context, tenant, "usage.read")
        async with context.deadline.enforce():
            names = await self._all() if tenant == ALL_TENANTS else [tenant or context.tenant]
            stored = await self.store.usage(names)
            rates = await asyncio.gather(*(self._left(name) for name in names))
        data: list[Json] = [self._view(name, used, left) for name, used, left in zip(names, stored, rates, strict=True)]
        return {"object": "list", "data": data}

    async def _all(self) -> Sequence[str]:
        """Return the tenants that have a key or live sessions."""
        return sorted(self.keys.tenants.union(await self.store.tenants()))

    async def _left(self, tenant: str) -> dict[str, float]:
        return {} if self.rate_limits is None else await self.rate_limits.left(tenant)

    def _view(self, tenant: str, used: StoreUsage, left: dict[str, float]) -> dict[str, Json]:
        limits = self.limits.of(tenant)
        rest = {name: round(value, 3) for name, value in left.items()} | _left_of(limits, used)
        return {
            "object": "usage",
            "tenant": tenant,
            "sessions": used.sessions,
            "state_bytes": used.reserved_bytes,
            "limits": asdict(limits),
            "remaining": dict(rest),
        }


def _left_of(limits: TenantLimits, used: StoreUsage) -> dict[str, float]:
    """Return what the limits of sessions and of their bytes leave."""
    pairs = (("sessions", limits.sessions, used.sessions), ("state_bytes", limits.state_bytes, used.reserved_bytes))
    return {name: max(0, limit - value) for name, limit, value in pairs if limit is not None}
