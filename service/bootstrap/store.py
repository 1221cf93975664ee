"""Parts of a worker that keep their data in Redis: sessions, the table of workers, and rate limits."""

from service.application.limits.rate_limits import RateLimits
from service.application.model_versions.membership import ClusterMembership
from service.application.ports import Clock
from service.domain.limits import LimitsOfTenants
from service.settings import Settings
from service.store.driver.topology import Topology
from service.store.redis_store import RedisStore
from service.store.token_buckets import RedisTokenBuckets
from service.store.worker_registry import RedisWorkerRegistry
from service.telemetry.metrics import Metrics

#: Time without a heartbeat, beside three poll intervals, after which a worker counts as gone.
HEARTBEAT_TIMEOUT_SECONDS = 8.0
#: Longest wait of a request for the tokens of a rate limit. After it the worker limits its requests by itself.
MAX_RATE_LIMIT_SECONDS = 0.25


def make_store(
    settings: Settings, limits: LimitsOfTenants, topology: Topology, metrics: Metrics, clock: Clock
) -> RedisStore:
    """Return the store of sessions."""
    return RedisStore(
        topology,
        metrics,
        prefix=settings.key_prefix,
        timeout=settings.store_timeout_seconds,
        limits=limits,
        several_tenants=settings.api_keys_file is not None or len(set(settings.api_keys.values())) > 1,
        now=clock.now,
    )


def make_rate_limits(
    settings: Settings, limits: LimitsOfTenants, topology: Topology, clock: Clock
) -> RateLimits | None:
    """Return the rate limits of tenants, or None if no tenant can have one."""
    if not limits.limits_rates and settings.api_keys_file is None:
        return None
    timeout = min(settings.store_timeout_seconds, MAX_RATE_LIMIT_SECONDS)
    buckets = RedisTokenBuckets(topology, prefix=settings.key_prefix, timeout=timeout)
    return RateLimits(limits, buckets, clock.monotonic)


def make_membership(settings: Settings, topology: Topology, clock: Clock) -> ClusterMembership:
    """Return the view of all workers and of what they serve."""
    fresh = HEARTBEAT_TIMEOUT_SECONDS + 3 * settings.models_poll_seconds
    timeout = settings.store_timeout_seconds
    workers = RedisWorkerRegistry(topology, prefix=settings.key_prefix, timeout=timeout, fresh=fresh)
    return ClusterMembership(registry=workers, clock=clock, timeout=fresh)
