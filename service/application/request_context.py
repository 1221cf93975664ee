"""Who asks, and how long they wait."""

from dataclasses import dataclass

from service.application.deadlines import Deadline


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The client of one request: `tenant` owns the sessions."""

    tenant: str
    deadline: Deadline
