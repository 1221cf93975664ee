"""Context of a request: its tenant, its deadline, its cost, its trace, and who sends it."""

from dataclasses import dataclass, field

from service.application.access.principal import EVERYONE, Principal
from service.application.deadlines import Deadline
from service.application.limits.request_cost import UNBOUNDED, RequestCost
from service.application.ports import Trace


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Tenant, deadline, cost, trace and sender of one request; `trace` is None for requests that are not traced.

    The tenant is that of the sender, or another one on whose sessions an administrator acts.
    """

    tenant: str
    deadline: Deadline
    cost: RequestCost = field(default_factory=lambda: UNBOUNDED.request("public"))
    trace: Trace | None = None
    principal: Principal = EVERYONE
