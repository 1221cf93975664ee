"""Use cases of a worker over the ports that they need: its services, and the reconciler of its models."""

from service.application.access.key_ring import KeyRing
from service.application.health import Health
from service.application.inference import Inference
from service.application.limits.admission import Admission
from service.application.limits.rate_limits import RateLimits
from service.application.model_versions.membership import ClusterMembership
from service.application.model_versions.model_control import ModelControl
from service.application.model_versions.reconciler import ModelReconciler
from service.application.model_versions.resolver import VersionResolver
from service.application.model_versions.retirement import Retirement
from service.application.model_versions.retirement_marks import RetirementMarks
from service.application.model_versions.session_scan import DrainScans
from service.application.operation_runner import OperationRunner
from service.application.ports import Clock, Engine, ModelRepository, StateFiles, StateStore
from service.application.predictions import Predictions
from service.application.sequences import Sequences
from service.application.services import Services, no_trace
from service.application.session_expiry import SessionExpiry
from service.application.sessions.creation import SessionFactory
from service.application.sessions.sessions import Sessions
from service.application.sessions.state_transfer import StateTransfer
from service.application.sessions.step_pipeline import StepPipeline
from service.application.sessions.steps import Steps
from service.application.sessions.turns import SessionTurns
from service.application.tenants.sessions_of_tenants import SessionsOfTenants
from service.application.tenants.usage import Usage
from service.application.time_slices import TurnSlices
from service.domain.limits import LimitsOfTenants
from service.settings import Settings
from service.telemetry.exposition import SharedExposition
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing


def wire_services(
    settings: Settings,
    engine: Engine,
    store: StateStore,
    files: StateFiles,
    *,
    membership: ClusterMembership,
    keys: KeyRing,
    limits: LimitsOfTenants,
    rate_limits: RateLimits | None,
    metrics: Metrics,
    tracing: Tracing | None,
    clock: Clock,
) -> Services:
    """Return the use cases of a worker, which the HTTP and gRPC servers call."""
    models, turns = VersionResolver(engine), SessionTurns()
    admission = Admission(settings.max_requests, clock.monotonic)
    slices = TurnSlices(admission.is_shared)
    operations = OperationRunner(engine, clock, slices)
    creations = SessionFactory(
        engine=engine,
        store=store,
        observer=metrics,
        clock=clock,
        durability=settings.durability,
        limits=limits,
    )
    sessions = Sessions(
        models=models,
        engine=engine,
        operations=operations,
        store=store,
        turns=turns,
        observer=metrics,
        clock=clock,
        creations=creations,
    )
    pipeline = StepPipeline(
        models=models, engine=engine, store=store, turns=turns, observer=metrics, clock=clock, slices=slices
    )
    steps = Steps(sessions=sessions, models=models, operations=operations, pipeline=pipeline, slices=slices)
    sequences = Sequences(engine=engine, creations=creations, steps=steps)
    return Services(
        models=models,
        model_control=ModelControl(models, membership, _model_admins(settings)),
        predictions=Predictions(models, operations),
        inference=Inference(models, engine, operations, sequences),
        inference_observer=metrics.inferences,
        inference_statistics=SharedExposition(metrics.flush, metrics.inference_statistics),
        sessions=sessions,
        sessions_of_tenants=SessionsOfTenants(sessions=sessions, store=store),
        usage=Usage(store=store, limits=limits, rate_limits=rate_limits, keys=keys),
        session_expiry=SessionExpiry(sessions, clock),
        steps=steps,
        transfers=StateTransfer(sessions=sessions, creations=creations, models=models, files=files),
        health=Health(engine, models, store, admission, metrics),
        admission=admission,
        slices=slices,
        observer=metrics,
        clock=clock,
        exposition=SharedExposition(metrics.flush, metrics.render),
        rate_limits=rate_limits,
        max_unanswered_frames=settings.max_unanswered_frames,
        trace=no_trace if tracing is None else tracing.current,
        trace_call=None if tracing is None else tracing.call,
        root_path=settings.root_path,
    )


def _model_admins(settings: Settings) -> frozenset[str] | None:
    """Return the tenants that may load and unload models beside administrators, or None for all of them."""
    tenants = frozenset(settings.api_keys.values())
    if settings.api_keys_file is not None:
        return frozenset(settings.model_admins)
    if not tenants:
        return None
    return frozenset(settings.model_admins) or (tenants if len(tenants) == 1 else frozenset())


def wire_reconciler(
    settings: Settings,
    services: Services,
    engine: Engine,
    repository: ModelRepository,
    membership: ClusterMembership,
) -> ModelReconciler:
    """Return the reconciler of the served versions with the model folder and the other workers."""
    retirement = Retirement(int(settings.model_grace_seconds * 1000), settings.retire_superseded)
    # A worker reports a step with its next heartbeat, which a slow store delays.
    scans = DrainScans(int((2 * settings.models_poll_seconds + settings.store_timeout_seconds) * 1000))
    return ModelReconciler(
        models=services.models,
        engine=engine,
        repository=repository,
        membership=membership,
        observer=services.observer,
        retirement=retirement,
        marks=RetirementMarks(registry=membership.registry, retirement=retirement, scans=scans),
    )
