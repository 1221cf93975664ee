"""Rate limits of tenants: tokens taken in advance, spent locally, and the worker's own limit without the store."""

import asyncio
from dataclasses import dataclass, field

import pytest

from service.application.limits.rate_limits import LEASE_SECONDS, LOCAL_SECONDS, LocalBucket, RateLimits, Rates
from service.domain.errors import RateLimited, StoreUnavailable
from service.domain.limits import LimitsOfTenants, TokenGrant


@dataclass
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Buckets:
    """The buckets of a store in memory."""

    time: Time
    away: bool = False
    calls: int = 0
    by_name: dict[tuple[str, str], LocalBucket] = field(default_factory=dict)

    async def take(
        self, tenant: str, name: str, *, rate: float, size: float, needed: float, wanted: float
    ) -> TokenGrant:
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        bucket = self.by_name.setdefault((tenant, name), LocalBucket(rate, size))
        return bucket.take(self.time.now, needed, wanted)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def buckets(time: Time) -> Buckets:
    return Buckets(time)


def rates_of(buckets: Buckets, tenant: str = "alice", **limits: float) -> Rates:
    rates = RateLimits(LimitsOfTenants({"alice": limits}), buckets, buckets.time).of(tenant)
    assert rates is not None
    return rates


async def admitted(rates: Rates, count: int) -> int:
    """Return how many of so many requests at once are admitted."""
    results = await asyncio.gather(*(rates.admit() for _ in range(count)), return_exceptions=True)
    assert all(result is None or isinstance(result, RateLimited) for result in results)
    return sum(result is None for result in results)


def test_a_tenant_without_limits_has_no_accounts(buckets: Buckets) -> None:
    limits = RateLimits(LimitsOfTenants({"alice": {"requests_per_second": 1}}), buckets, buckets.time)
    assert limits.of("bob") is None


async def test_requests_are_admitted_at_the_rate_and_after_a_pause_a_second_of_them_at_once(
    buckets: Buckets, time: Time
) -> None:
    rates = rates_of(buckets, requests_per_second=100)
    assert await admitted(rates, 300) == 100
    time.now += 0.5
    assert await admitted(rates, 300) == 50
    time.now += 10
    assert await admitted(rates, 300) == 100


async def test_a_slow_rate_admits_one_request_at_a_time(buckets: Buckets, time: Time) -> None:
    rates = rates_of(buckets, requests_per_second=0.5)
    assert await admitted(rates, 3) == 1
    time.now += 1.9
    assert await admitted(rates, 3) == 0
    time.now += 0.2
    assert await admitted(rates, 3) == 1


async def test_a_refusal_names_the_limit_and_when_to_come_back(buckets: Buckets) -> None:
    rates = rates_of(buckets, requests_per_second=0.25)
    await rates.admit()
    with pytest.raises(RateLimited, match=r"at most 0.25 \(requests_per_second in UNROLL_TENANT_LIMITS\)") as refused:
        await rates.admit()
    assert (refused.value.applied, refused.value.retry_after) == ("no", 4)


async def test_a_busy_tenant_costs_few_calls_of_the_store_and_a_refused_one_none(buckets: Buckets, time: Time) -> None:
    rates = rates_of(buckets, requests_per_second=1000)
    assert await admitted(rates, 900) == 900
    assert buckets.calls <= 900 / (1000 * LEASE_SECONDS) + 1
    await admitted(rates, 200)
    calls = buckets.calls
    assert await admitted(rates, 200) == 0
    assert buckets.calls == calls


async def test_workers_share_a_rate(buckets: Buckets) -> None:
    first, second = (rates_of(buckets, requests_per_second=100) for _ in range(2))
    assert 90 <= await admitted(first, 60) + await admitted(second, 60) <= 100


async def test_without_the_store_each_worker_limits_the_tenant_until_the_store_is_back(
    buckets: Buckets, time: Time
) -> None:
    rates = rates_of(buckets, requests_per_second=10)
    buckets.away = True
    assert await admitted(rates, 30) == 10
    assert buckets.calls == 1
    buckets.away = False
    time.now += LOCAL_SECONDS
    assert await admitted(rates, 30) == 10
    assert buckets.by_name


async def test_cost_is_paid_by_the_requests_that_follow(buckets: Buckets, time: Time) -> None:
    rates = rates_of(buckets, cost_per_second=100)
    await rates.admit()
    rates.charge(250)
    await rates.admit()
    rates.charge(1)
    with pytest.raises(RateLimited, match="cost_per_second"):
        await rates.admit()
    time.now += 1.0
    with pytest.raises(RateLimited):
        await rates.admit()
    time.now += 1.6
    await rates.admit()


async def test_headers_show_the_policies_and_what_is_left(buckets: Buckets, time: Time) -> None:
    rates = rates_of(buckets, requests_per_second=5, cost_per_second=0.5)
    assert dict(rates.headers()) == {
        b"ratelimit-policy": b'"requests";q=5;w=1, "cost";q=1;w=2',
        b"ratelimit": b'"requests";r=5;t=0, "cost";r=1;t=0',
    }
    await admitted(rates, 2)
    assert dict(rates.headers())[b"ratelimit"].startswith(b'"requests";r=3;t=1')
    await admitted(rates, 5)
    assert dict(rates.headers())[b"ratelimit"].startswith(b'"requests";r=0;t=1')


async def test_what_is_left_of_a_rate_is_asked_of_the_store_and_takes_nothing(buckets: Buckets, time: Time) -> None:
    own, other = (
        RateLimits(LimitsOfTenants({"alice": {"requests_per_second": 100}}), buckets, buckets.time) for _ in range(2)
    )
    rates = own.of("alice")
    assert rates is not None
    assert await own.left("bob") == {}
    assert await admitted(rates, 40) == 40
    for _ in range(3):
        assert await own.left("alice") == {"requests_per_second": pytest.approx(60)}
    assert await other.left("alice") == {"requests_per_second": pytest.approx(60, abs=100 * LEASE_SECONDS)}
    time.now += 5
    assert await own.left("alice") == {"requests_per_second": pytest.approx(100)}


async def test_limits_that_change_hold_at_once_and_the_others_go_on(buckets: Buckets) -> None:
    limits = LimitsOfTenants({"alice": {"requests_per_second": 10}, "bob": {"requests_per_second": 10}})
    rate_limits = RateLimits(limits, buckets, buckets.time)
    bob = rate_limits.of("bob")
    assert rate_limits.of("carol") is None
    limits.use({"alice": {"requests_per_second": 20}, "carol": {"cost_per_second": 5}})
    rate_limits.update()
    alice, carol = rate_limits.of("alice"), rate_limits.of("carol")
    assert alice is not None
    assert carol is not None
    assert (alice.limits.requests_per_second, carol.limits.cost_per_second) == (20, 5)
    assert rate_limits.of("bob") is bob
