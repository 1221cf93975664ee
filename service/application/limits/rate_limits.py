"""Rate limits of tenants over all workers: requests per second, and their cost per second.

The tokens are in the store. A worker takes some in advance and spends them without a round trip, so that a busy tenant
costs one call of the store for many requests. While the store is away, each worker limits the tenant by itself.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.domain.errors import RateLimited, UnrollError
from service.domain.limits import LimitsOfTenants, TenantLimits, TokenGrant

#: Time for whose requests a worker takes tokens at once. Other workers cannot spend them.
LEASE_SECONDS = 0.1
#: Time after which tokens that were not spent are worth nothing: the bucket is full again by then.
UNSPENT_SECONDS = 1.0
#: Time for which a worker limits a tenant by itself before it asks the store again.
LOCAL_SECONDS = 5.0


class TokenBuckets(Protocol):
    """Buckets of tokens that all workers share. Raises StoreUnavailable and StoreFull."""

    async def take(
        self, tenant: str, name: str, *, rate: float, size: float, needed: float, wanted: float
    ) -> TokenGrant:
        """Take up to `wanted` tokens, but at least `needed` or none, from a bucket of `size` that fills at `rate`."""


@dataclass(slots=True)
class LocalBucket:
    """Bucket of one worker, by the generic cell rate algorithm as in store/scripts/take.lua."""

    rate: float
    size: float
    arrival: float = 0.0

    def take(self, now: float, needed: float, wanted: float) -> TokenGrant:
        """Take tokens as the store does; `now` is in seconds."""
        arrival = max(now, self.arrival)
        present = self.size - (arrival - now) * self.rate
        missing = min(needed, self.size) - present
        if missing > self.rate * 1e-6:
            return TokenGrant(0.0, missing / self.rate, max(0.0, present))
        taken = max(needed, min(wanted, present))
        self.arrival = arrival + taken / self.rate
        return TokenGrant(taken, 0.0, max(0.0, present - taken))


class Account:
    """Tokens of one limit of one tenant that this worker has taken and not spent; below 0 after a costly request."""

    __slots__ = (
        "_buckets", "_left", "_local", "_local_until", "_monotonic", "_name", "_refill", "_taken_at", "_tenant",
        "rate", "refused_until", "size", "tokens",
    )  # fmt: skip

    def __init__(
        self, buckets: TokenBuckets, tenant: str, name: str, rate: float, monotonic: Callable[[], float]
    ) -> None:
        self.rate = rate
        self.size = max(1.0, rate)
        self.tokens = 0.0
        self._left = self.size
        self.refused_until = 0.0
        self._buckets = buckets
        self._tenant = tenant
        self._name = name
        self._monotonic = monotonic
        self._taken_at = 0.0
        self._local = LocalBucket(rate, self.size)
        self._local_until = 0.0
        self._refill: asyncio.Task[None] | None = None

    async def require(self, needed: float) -> bool:
        """Return whether there are `needed` tokens, taking them from the store if necessary. They are not spent."""
        while not self._has(needed):
            if self._monotonic() < self.refused_until:
                return False
            if self._refill is None:
                self._refill = asyncio.get_running_loop().create_task(self._take(needed))
            await asyncio.shield(self._refill)
        return True

    def remaining(self) -> float:
        """Return how many tokens are left, here and in the store as far as this worker knows."""
        refilled = self.rate * max(0.0, self._monotonic() - self._taken_at)
        return min(self.size, max(0.0, self.tokens + self._left + refilled))

    async def left(self) -> float:
        """Return how many tokens are left, here and in the store, which is asked."""
        present = (await self._grant(needed=0.0, wanted=0.0)).left
        self._has(0.0)  # drops tokens that are worth nothing by now
        return min(self.size, max(0.0, present + self.tokens))

    def wait(self) -> float:
        """Return the seconds until the store may have tokens again."""
        return max(0.0, self.refused_until - self._monotonic())

    def _has(self, needed: float) -> bool:
        if self.tokens > 0 and self._monotonic() >= self._taken_at + UNSPENT_SECONDS:
            self.tokens = 0.0
        return self.tokens >= needed

    async def _take(self, needed: float) -> None:
        missing = needed - self.tokens
        amounts = {"needed": missing, "wanted": max(missing, self.rate * LEASE_SECONDS)}
        try:
            grant = await self._grant(**amounts)
        finally:
            self._refill = None
        now = self._monotonic()
        self.tokens += grant.taken
        self._left = grant.left
        self._taken_at = now
        self.refused_until = now + grant.wait

    async def _grant(self, needed: float, wanted: float) -> TokenGrant:
        now = self._monotonic()
        if now >= self._local_until:
            try:
                return await self._buckets.take(
                    self._tenant, self._name, rate=self.rate, size=self.size, needed=needed, wanted=wanted
                )
            except UnrollError:
                self._local_until = self._monotonic() + LOCAL_SECONDS
        return self._local.take(self._monotonic(), needed, wanted)


@dataclass(frozen=True, slots=True)
class Rates:
    """The accounts that one request of a tenant spends from, None where there is no limit."""

    limits: TenantLimits
    requests: Account | None
    cost: Account | None

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers-10."""
        named = [(name, account) for name, account in (("requests", self.requests), ("cost", self.cost)) if account]
        return (
            (b"ratelimit-policy", b", ".join(_policy(name, account) for name, account in named)),
            (b"ratelimit", b", ".join(_service(name, account) for name, account in named)),
        )

    async def admit(self) -> None:
        """Spend one request. Raises RateLimited if the tenant has spent its requests or their cost."""
        if self.cost is not None and not await self.cost.require(0.0):
            raise self._exceeded("cost_per_second", self.cost, "your requests cost more than you may spend")
        if self.requests is not None:
            if not await self.requests.require(1.0):
                raise self._exceeded("requests_per_second", self.requests, "you send too many requests")
            self.requests.tokens -= 1.0

    def charge(self, cost: float) -> None:
        """Spend what the operations of an admitted request cost. Requests that follow wait until it is paid."""
        if self.cost is not None:
            self.cost.tokens -= cost

    def _exceeded(self, name: str, account: Account, problem: str) -> RateLimited:
        return self.limits.exceeded(name, problem, retry_after=max(1, math.ceil(account.wait())))


class RateLimits:
    """Rate limits of all tenants. Use it within the event loop."""

    def __init__(self, limits: LimitsOfTenants, buckets: TokenBuckets, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._buckets = buckets
        self._monotonic = monotonic
        self._by_tenant: dict[str, Rates | None] = {}

    def of(self, tenant: str) -> Rates | None:
        """Return the accounts of a tenant, or None if its rates are not limited."""
        try:
            return self._by_tenant[tenant]
        except KeyError:
            rates = self._by_tenant[tenant] = self._make(tenant)
            return rates

    async def left(self, tenant: str) -> dict[str, float]:
        """Return what is left of each rate of a tenant that is limited, by the name of its limit."""
        rates = self._by_tenant.get(tenant) or self._make(tenant)
        if rates is None:
            return {}
        named = (("requests_per_second", rates.requests), ("cost_per_second", rates.cost))
        return {name: await account.left() for name, account in named if account is not None}

    def update(self) -> None:
        """Have all tenants the limits that are set for them by now."""
        self._by_tenant = {
            tenant: rates
            for tenant, rates in self._by_tenant.items()
            if rates is not None and rates.limits == self._limits.of(tenant)
        }

    def _make(self, tenant: str) -> Rates | None:
        limits = self._limits.of(tenant)
        if not limits.limits_rates:
            return None
        return Rates(
            limits,
            self._account(tenant, "requests", limits.requests_per_second),
            self._account(tenant, "cost", limits.cost_per_second),
        )

    def _account(self, tenant: str, name: str, rate: float | None) -> Account | None:
        return None if rate is None else Account(self._buckets, tenant, name, rate, self._monotonic)


def _policy(name: str, account: Account) -> bytes:
    """Return an item of RateLimit-Policy: the quota of a window of whole seconds."""
    window = max(1, math.ceil(1 / account.rate))
    return b'"%b";q=%d;w=%d' % (name.encode(), max(1, int(account.rate * window)), window)


def _service(name: str, account: Account) -> bytes:
    """Return an item of RateLimit: what is left, and the seconds until the quota is whole again."""
    left = account.remaining()
    return b'"%b";r=%d;t=%d' % (name.encode(), int(left + 1e-6), math.ceil((account.size - left) / account.rate))
