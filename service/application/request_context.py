"""Context of a request: its tenant and its deadline."""

from dataclasses import dataclass

from service.application.deadlines import Deadline


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Tenant and deadline of one request."""

    tenant: str
    deadline: Deadline
