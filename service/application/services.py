"""The use cases of a worker, as the protocols get them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.application.health import Health
from service.application.inference import Inference
from service.application.limits.admission import Admission
from service.application.limits.rate_limits import RateLimits
from service.application.model_versions.model_control import ModelControl
from service.application.model_versions.resolver import VersionResolver
from service.application.ports import CallTrace, Clock, InferenceObserver, Observer, Trace
from service.application.predictions import Predictions
from service.application.session_expiry import SessionExpiry
from service.application.sessions.sessions import Sessions
from service.application.sessions.state_transfer import StateTransfer
from service.application.sessions.steps import Steps
from service.application.tenants.sessions_of_tenants import SessionsOfTenants
from service.application.tenants.usage import Usage
from service.application.time_slices import TurnSlices
from service.domain.inference_statistics import VersionStatistics


def no_trace() -> None:
    """Trace nothing."""


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, the parts that the bounds of requests need, and the path under which clients find the service."""

    models: VersionResolver
    model_control: ModelControl
    predictions: Predictions
    inference: Inference
    inference_observer: InferenceObserver
    inference_statistics: Callable[[], Awaitable[Mapping[tuple[str, str], VersionStatistics]]]
    sessions: Sessions
    sessions_of_tenants: SessionsOfTenants
    usage: Usage
    session_expiry: SessionExpiry
    steps: Steps
    transfers: StateTransfer
    health: Health
    admission: Admission
    slices: TurnSlices
    observer: Observer
    clock: Clock
    exposition: Callable[[], Awaitable[bytes]]
    rate_limits: RateLimits | None = None
    max_unanswered_frames: int = 256
    #: Returns the trace of the request that is being served, or None if it is not traced.
    trace: Callable[[], Trace | None] = no_trace
    #: Begins the trace of a call by its route and metadata. None if there are no traces.
    trace_call: Callable[[str, Mapping[str, Any]], CallTrace] | None = None
    root_path: str = ""
