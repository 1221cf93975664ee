"""What the routes call: the application's use cases, as the bootstrap wired them.

The dependencies are coroutines because FastAPI sends plain functions through a thread pool.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from service.application.admission import Admission
from service.application.health import Health
from service.application.model_versions.resolver import VersionResolver
from service.application.ports import Clock, Observer
from service.application.predictions import Predictions
from service.application.request_context import RequestContext
from service.application.sessions.sessions import Sessions
from service.application.sessions.state_transfer import StateTransfer
from service.application.sessions.steps import Steps


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, and what the door needs."""

    models: VersionResolver
    predictions: Predictions
    sessions: Sessions
    steps: Steps
    transfers: StateTransfer
    health: Health
    admission: Admission
    observer: Observer
    clock: Clock
    exposition: Callable[[], bytes]


async def services(request: Request) -> Services:
    """Return the use cases; a dependency of the routes."""
    found: Services = request.app.state.services
    return found


async def request_context(request: Request) -> RequestContext:
    """Return who asks, as the door found out; a dependency of the routes."""
    found: RequestContext = request.state.context
    return found
