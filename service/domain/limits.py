"""Limits of a tenant, by which the clients of one key are kept from taking what others need, and its weight."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from service.domain.errors import RateLimited

#: The setting that has the limits of tenants.
LIMITS_SETTING = "UNROLL_TENANT_LIMITS"
#: Tenant of the limits that hold for all tenants without limits of their own.
EVERY_TENANT = ""

#: Seconds after which a client may try again to create a session: others end or expire at any time.
RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Limits of one tenant over all workers. None means no limit, or none but those of the service itself.

    Attributes:
        requests_per_second: requests under `/v1`; as many may come at once after a second without any.
        cost_per_second: cost of operations, in timesteps of the network.
        sessions: live sessions.
        state_bytes: bytes that the live sessions may take in the store, kept states included.
        ttl_seconds: largest time to live of a session.
        kept_steps: largest number of earlier states that a session keeps.
        weight: what the tenant gets of the engine's time while others wait, in relation to their weights.
    """

    requests_per_second: float | None = None
    cost_per_second: float | None = None
    sessions: int | None = 1_000_000
    state_bytes: int | None = None
    ttl_seconds: int | None = None
    kept_steps: int | None = None
    weight: float = 1.0

    @property
    def limits_rates(self) -> bool:
        """Return whether requests or their cost are limited."""
        return self.requests_per_second is not None or self.cost_per_second is not None

    def exceeded(self, name: str, problem: str, retry_after: int = RETRY_SECONDS) -> RateLimited:
        """Return the error for a request that exceeds the limit `name`."""
        expected = f"expected at most {getattr(self, name)} ({name} in {LIMITS_SETTING})"
        return RateLimited(f"{problem}: {expected}", applied="no", retry_after=retry_after)


class TokenGrant(NamedTuple):
    """Tokens taken from a bucket; the seconds until as many as were needed are there, if none were; and those left."""

    taken: float
    wait: float
    left: float


class LimitsOfTenants:
    """The limits of all tenants: those of EVERY_TENANT, changed by what is set for a tenant by its name."""

    def __init__(self, settings: Mapping[str, Mapping[str, float]] | None = None) -> None:
        self._settings = settings or {}
        self._common = _changed(TenantLimits(), self._settings.get(EVERY_TENANT, {}))
        self.use({})

    def use(self, limits: Mapping[str, Mapping[str, float]]) -> None:
        """Have tenants these limits, which are those of their keys, above the ones that the settings have."""
        tenants = self._settings.keys() | limits.keys()
        self._own = {
            tenant: _changed(self._common, {**self._settings.get(tenant, {}), **limits.get(tenant, {})})
            for tenant in tenants
        }

    def of(self, tenant: str) -> TenantLimits:
        """Return the limits of a tenant."""
        return self._own.get(tenant, self._common)

    def weight_of(self, client: str) -> float:
        """Return the weight of a tenant; an address, which stands for a client without a key, has that of all."""
        return self.of(client).weight

    @property
    def limits_rates(self) -> bool:
        """Return whether the rates of any tenant are limited."""
        return any(limits.limits_rates for limits in (self._common, *self._own.values()))


_FRACTIONS = {"requests_per_second", "cost_per_second", "weight"}
#: Names of limits, and whether their values are whole numbers.
NAMES = {field.name: field.name not in _FRACTIONS for field in fields(TenantLimits)}


def parse_limits(text: str) -> dict[str, dict[str, float]]:
    """Parse `NAME=VALUE,TENANT:NAME=VALUE` to limits by tenant. Raises ValueError that says what is expected."""
    limits: dict[str, dict[str, float]] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        subject, _, value = entry.rpartition("=")
        tenant, _, name = subject.rpartition(":")
        if name.strip() not in NAMES:
            raise ValueError(
                f"{entry} names no limit: expected NAME=VALUE or TENANT:NAME=VALUE, NAME of {', '.join(NAMES)}"
            )
        own = limits.setdefault(tenant.strip(), {})
        if name.strip() in own:
            raise ValueError(f"{entry} is the second value of its limit: expected one")
        try:
            own[name.strip()] = parse_limit(name.strip(), value)
        except ValueError as error:
            raise ValueError(f"{entry} has no valid value: expected {error}") from None
    return limits


def parse_limit(name: str, text: str) -> float:
    """Parse the value of a limit. Raises ValueError, which says what is expected."""
    whole = NAMES[name]
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = -1
    if not (0 <= value < float("inf") if whole else 0 < value < float("inf")):
        raise ValueError("a whole number" if whole else "a number above 0")
    return value


def format_limits(limits: Mapping[str, Mapping[str, float]]) -> str:
    """Return the text from which `parse_limits` makes these limits."""
    return ",".join(
        f"{tenant}:{name}={value}" if tenant else f"{name}={value}"
        for tenant, own in limits.items()
        for name, value in own.items()
    )


def _changed(limits: TenantLimits, values: Mapping[str, float]) -> TenantLimits:
    return replace(limits, **values)  # type: ignore[arg-type]  # `parse_limit` has made whole numbers where fields have them
