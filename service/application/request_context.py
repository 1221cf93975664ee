"""Context of a request: its tenant, its deadline and its cost."""

from dataclasses import dataclass, field

from service.application.deadlines import Deadline
from service.application.limits.request_cost import UNBOUNDED, RequestCost


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Tenant, deadline and cost of one request."""

    tenant: str
    deadline: Deadline
    cost: RequestCost = field(default_factory=lambda: UNBOUNDED.request("public"))
