"""Who asks, and how long they wait."""

from dataclasses import dataclass

from service.application.deadlines import Deadline


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of one request: `tenant` owns the sessions, `request_id` names the request in the log."""

    tenant: str
    request_id: str
    deadline: Deadline
