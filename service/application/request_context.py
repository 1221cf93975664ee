"""Context of a request: its tenant, its deadline, its cost and its trace."""

from dataclasses import dataclass, field

from service.application.deadlines import Deadline
from service.application.limits.request_cost import UNBOUNDED, RequestCost
from service.application.ports import Trace


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Tenant, deadline and cost of one request; `trace` is None for requests that are not traced."""

    tenant: str
    deadline: Deadline
    cost: RequestCost = field(default_factory=lambda: UNBOUNDED.request("public"))
    trace: Trace | None = None
