"""Bounds that the requests of all protocols of a worker share."""

from dataclasses import dataclass

from service.application.access.authenticator import Authenticator
from service.application.limits.admission import Admission
from service.application.limits.rate_limits import RateLimits, Rates
from service.application.limits.request_cost import CostBudget
from service.application.limits.turn_quota import TurnQuota


@dataclass(frozen=True, slots=True)
class RequestBounds:
    """Who may send requests to a worker, and how much of it they may take.

    `has_keys` says whether API keys are configured. Without any, addresses tell clients apart.
    """

    has_keys: bool
    authenticator: Authenticator
    admission: Admission
    budget: CostBudget
    quota: TurnQuota
    rate_limits: RateLimits | None

    def rates_of(self, tenant: str) -> Rates | None:
        """Return the rates of a tenant, None if no tenant has any."""
        return None if self.rate_limits is None else self.rate_limits.of(tenant)
