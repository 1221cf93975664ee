"""Composition root: wires the parts of a worker together, and starts and stops them in order."""

import contextlib
import gc
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from starlette.types import ASGIApp

from service.application.health import Health
from service.application.inference import Inference
from service.application.limits.admission import Admission
from service.application.limits.rate_limits import RateLimits
from service.application.limits.request_bounds import RequestBounds
from service.application.limits.request_cost import CostLimits
from service.application.model_versions.membership import ClusterMembership
from service.application.model_versions.model_control import ModelControl
from service.application.model_versions.reconciler import ModelReconciler
from service.application.model_versions.refresh import RefreshLimiter
from service.application.model_versions.resolver import VersionResolver
from service.application.model_versions.retirement import Retirement
from service.application.model_versions.retirement_marks import RetirementMarks
from service.application.model_versions.session_scan import DrainScans
from service.application.operation_runner import OperationRunner
from service.application.ports import Clock, Engine, ModelRepository, StateFiles, StateStore
from service.application.predictions import Predictions
from service.application.sequences import Sequences
from service.application.services import Services
from service.application.session_expiry import SessionExpiry
from service.application.sessions.creation import SessionFactory
from service.application.sessions.sessions import Sessions
from service.application.sessions.state_transfer import StateTransfer
from service.application.sessions.step_pipeline import StepPipeline
from service.application.sessions.steps import Steps
from service.application.sessions.turns import SessionTurns
from service.domain.errors import SettingsError
from service.domain.limits import LimitsOfTenants
from service.domain.operations import ComputeDtype, Device, Operation, Outcome
from service.domain.runtime.loop_stalls import STALLS
from service.engine.engine import BatchingEngine
from service.engine.loaded_models import ModelRegistry, load_version
from service.engine.model_repository import FolderModelRepository
from service.engine.runner import run_operation
from service.engine.state_export import SafetensorsStateFiles
from service.http.app import create_app
from service.http.body_sizes import SizeLimits
from service.http.connection_refusals import ConnectionRefusals
from service.http.middleware.authorization.browser_policy import BrowserSettings
from service.http.middleware.authorization.host_names import is_wildcard
from service.http.middleware.request import RequestSettings
from service.http.open_inference.options import read_options
from service.lifecycle import run_in_background, stop_part
from service.nets.device import require_device
from service.settings import Settings
from service.store.driver.connect import connect
from service.store.driver.topology import Topology
from service.store.redis_store import RedisStore
from service.store.store_watcher import watch_store
from service.store.token_buckets import RedisTokenBuckets
from service.store.worker_registry import RedisWorkerRegistry
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES
from service.tasks.limits import TextLimits
from service.telemetry.exposition import SharedExposition
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

#: Number of new objects that starts a garbage collection. Python's default of 700, a few requests, costs 3 % of a step.
GC_THRESHOLD = 10_000
#: How long a thread that computes keeps the event loop waiting for Python. Python's default is ten times as long.
SWITCH_SECONDS = 0.0005
#: Time without a heartbeat, beside three poll intervals, after which a worker counts as gone.
HEARTBEAT_TIMEOUT_SECONDS = 8.0
#: Longest wait of a request for the tokens of a rate limit. After it the worker limits its requests by itself.
MAX_RATE_LIMIT_SECONDS = 0.25
#: Minimum interval between refreshes from folder and store, which requests for unknown models and versions cause.
MIN_REFRESH_SECONDS = 0.1


class SystemClock:
    """Clock of this machine."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Overrides:
    """Replacements of the use cases' ports, with which tests break real parts. The defaults change nothing."""

    clock: Clock = field(default_factory=SystemClock)
    engine: Callable[[Engine], Engine] = lambda engine: engine
    store: Callable[[StateStore], StateStore] = lambda store: store
    architectures: Sequence[AnyArchitecture] = ARCHITECTURES


NO_OVERRIDES = Overrides()


class GrpcListener(Protocol):
    """The gRPC server of a worker, see service/grpc/server.py."""

    @property
    def is_busy(self) -> bool: ...
    async def start(self) -> None: ...
    def drain(self) -> None: ...
    async def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Worker:
    """Running worker: its ASGI application and what answers requests that never reach it, its admission, which a
    shutdown closes, a wait for the engine's end, and its gRPC server, if it has one.
    """

    app: ASGIApp
    refusals: ConnectionRefusals
    admission: Admission
    engine_ended: Callable[[], Coroutine[None, None, None]]
    grpc: GrpcListener | None = None


@asynccontextmanager
async def running_worker(settings: Settings, overrides: Overrides = NO_OVERRIDES) -> AsyncIterator[Worker]:
    """Run the parts of a worker and yield its application. Raises SettingsError.

    The parts stop in the reverse order of their start. Each of them stops even if others fail to start or to stop.
    """
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: a worker needs a store, `unroll serve` starts a private one")
    for dtype in (None, *settings.dtype.values()):
        require_device(settings.device, dtype)
    torch.set_num_threads(1)
    metrics, clock, registry = Metrics(), overrides.clock, ModelRegistry()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(metrics.flush)
        stack.enter_context(STALLS.sampled(metrics.event_loop_lag))
        topology = connect(settings.redis_url, settings.store_timeout_seconds)
        stack.push_async_callback(stop_part, "connections", topology.aclose)
        store = _make_store(settings, topology, metrics, clock)
        stack.push_async_callback(stop_part, "store", store.aclose)
        # The number of rows changes the rounding of a matrix product. It is constant for an operation that runs alone.
        max_batch = 1 if settings.deterministic else settings.max_batch
        engine = BatchingEngine(
            registry,
            metrics,
            clock.monotonic,
            max_batch=max_batch,
            max_queue=settings.max_queue,
            weight_of=LimitsOfTenants(settings.tenant_limits).weight_of,
        )
        stack.push_async_callback(stop_part, "engine", engine.stop)
        ports = overrides.engine(engine), overrides.store(store), SafetensorsStateFiles(registry)
        rate_limits = _make_rate_limits(settings, topology, clock)
        membership = _make_membership(settings, topology, clock)
        services = _wire(settings, *ports, membership=membership, rate_limits=rate_limits, metrics=metrics, clock=clock)
        stack.push_async_callback(stop_part, "steps", services.steps.drain)
        repository = _make_repository(settings, registry, overrides.architectures)
        reconciler = _wire_reconciler(settings, services, engine, repository, membership)
        services.models.refresh = refresh = RefreshLimiter(reconciler.refresh, MIN_REFRESH_SECONDS)
        stack.push_async_callback(stop_part, "refreshes", refresh.aclose)
        stack.push_async_callback(stop_part, "models", reconciler.stop)
        await reconciler.start()
        _warn_about_unknown_models(settings, services.models)
        engine.start()
        _tune_garbage_collection()
        sys.setswitchinterval(SWITCH_SECONDS)
        run_in_background(stack, "model reconciler", reconciler.run(settings.models_poll_seconds))
        run_in_background(
            stack,
            "store watcher",
            watch_store(topology, store, services.health.count_sessions, settings.durability, metrics),
        )
        app = create_app(services, _request_settings(settings), settings.protocols)
        refusals = ConnectionRefusals(metrics, settings.access_log)
        yield Worker(app, refusals, services.admission, engine.ended, _make_grpc(settings, services, app.bounds))


def _make_grpc(settings: Settings, services: Services, bounds: RequestBounds) -> GrpcListener | None:
    """Return the gRPC server, or None if the settings ask for none. Nothing of gRPC is imported then."""
    if settings.grpc_port is None or "grpc" not in settings.protocols:
        return None
    from service.grpc.runner import CallSettings  # noqa: PLC0415 - the extra may not be installed
    from service.grpc.server import ConnectionSettings, GrpcServer  # noqa: PLC0415

    calls = CallSettings(
        request_seconds=settings.request_timeout_seconds,
        write_seconds=settings.write_timeout_seconds,
        max_calls=settings.max_requests,
        max_streams=max(1, min(settings.max_requests, settings.max_pending_bytes // settings.max_body_bytes)),
        max_message_bytes=settings.max_body_bytes,
        window=settings.max_unanswered_frames,
        access_log=settings.access_log,
        public_operations=settings.public_operations,
    )
    connections = ConnectionSettings(
        host=settings.host,
        port=settings.grpc_port,
        max_message_bytes=settings.max_body_bytes,
        max_metadata_bytes=settings.max_header_bytes,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address or max(1, settings.max_connections // 2),
        handshake_seconds=settings.header_timeout_seconds,
        idle_seconds=settings.keep_alive_seconds,
        ping_seconds=settings.websocket_ping_seconds,
        grace_seconds=settings.grace_seconds,
    )
    return GrpcServer(services, bounds, calls, connections, read_options)


def _tune_garbage_collection() -> None:
    """Exempt all present objects from garbage collection: a full one takes over 100 ms with torch imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _warn_about_unknown_models(settings: Settings, models: VersionResolver) -> None:
    """Warn of models that a setting names and that are not served: misspelt, or refused."""
    served = models.all().keys() | models.availability.unloaded.keys()
    for name in sorted(settings.dtype.keys() - served - {""}):
        log.warning("dtype of no served model", extra={"model": name, "served": sorted(served)})


def text_limits(settings: Settings) -> TextLimits:
    """Return the limits that a request's text must keep."""
    return TextLimits(settings.max_input_tokens, settings.max_generated_tokens)


def _make_repository(
    settings: Settings, registry: ModelRegistry, architectures: Sequence[AnyArchitecture]
) -> FolderModelRepository:
    return FolderModelRepository(
        settings.models,
        registry,
        text_limits(settings),
        settings.dtype_of,
        settings.device,
        architectures=architectures,
        load_seconds=settings.model_load_seconds,
    )


def _make_store(settings: Settings, topology: Topology, metrics: Metrics, clock: Clock) -> RedisStore:
    return RedisStore(
        topology,
        metrics,
        prefix=settings.key_prefix,
        timeout=settings.store_timeout_seconds,
        limits=LimitsOfTenants(settings.tenant_limits),
        several_tenants=len(set(settings.api_keys.values())) > 1,
        now=clock.now,
    )


def _make_rate_limits(settings: Settings, topology: Topology, clock: Clock) -> RateLimits | None:
    limits = LimitsOfTenants(settings.tenant_limits)
    if not limits.limits_rates:
        return None
    timeout = min(settings.store_timeout_seconds, MAX_RATE_LIMIT_SECONDS)
    buckets = RedisTokenBuckets(topology, prefix=settings.key_prefix, timeout=timeout)
    return RateLimits(limits, buckets, clock.monotonic)


def _wire(
    settings: Settings,
    engine: Engine,
    store: StateStore,
    files: StateFiles,
    *,
    membership: ClusterMembership,
    rate_limits: RateLimits | None,
    metrics: Metrics,
    clock: Clock,
) -> Services:
    models, turns = VersionResolver(engine), SessionTurns()
    operations = OperationRunner(engine, clock)
    admission = Admission(settings.max_requests, clock.monotonic)
    creations = SessionFactory(
        engine=engine,
        store=store,
        observer=metrics,
        clock=clock,
        durability=settings.durability,
        limits=LimitsOfTenants(settings.tenant_limits),
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
    pipeline = StepPipeline(models=models, engine=engine, store=store, turns=turns, observer=metrics, clock=clock)
    steps = Steps(sessions=sessions, models=models, operations=operations, pipeline=pipeline)
    sequences = Sequences(engine=engine, creations=creations, steps=steps)
    return Services(
        models=models,
        model_control=ModelControl(models, membership, _model_admins(settings)),
        predictions=Predictions(models, operations),
        inference=Inference(models, engine, operations, sequences),
        inference_observer=metrics.inferences,
        inference_statistics=SharedExposition(metrics.flush, metrics.inference_statistics),
        sessions=sessions,
        session_expiry=SessionExpiry(sessions, clock),
        steps=steps,
        transfers=StateTransfer(sessions=sessions, creations=creations, models=models, files=files),
        health=Health(engine, models, store, admission, metrics),
        admission=admission,
        observer=metrics,
        clock=clock,
        exposition=SharedExposition(metrics.flush, metrics.render),
        rate_limits=rate_limits,
        max_unanswered_frames=settings.max_unanswered_frames,
    )


def _make_membership(settings: Settings, topology: Topology, clock: Clock) -> ClusterMembership:
    fresh = HEARTBEAT_TIMEOUT_SECONDS + 3 * settings.models_poll_seconds
    timeout = settings.store_timeout_seconds
    workers = RedisWorkerRegistry(topology, prefix=settings.key_prefix, timeout=timeout, fresh=fresh)
    return ClusterMembership(registry=workers, clock=clock, timeout=fresh)


def _model_admins(settings: Settings) -> frozenset[str] | None:
    """Return the tenants that may load and unload models, or None for all of them."""
    tenants = frozenset(settings.api_keys.values())
    if not tenants:
        return None
    return frozenset(settings.model_admins) or (tenants if len(tenants) == 1 else frozenset())


def _wire_reconciler(
    settings: Settings,
    services: Services,
    engine: Engine,
    repository: ModelRepository,
    membership: ClusterMembership,
) -> ModelReconciler:
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


def _request_settings(settings: Settings) -> RequestSettings:
    open_to_all = not settings.api_keys
    browser = BrowserSettings(
        loopback_hosts=open_to_all and not is_wildcard(settings.host),
        same_origin=open_to_all,
        hosts=settings.allowed_hosts,
        origins=settings.allowed_origins,
    )
    return RequestSettings(
        settings.max_body_bytes,
        settings.request_timeout_seconds,
        settings.api_keys,
        settings.access_log,
        browser=browser,
        public_operations=settings.public_operations,
        max_wrong_keys=settings.max_wrong_keys,
        min_body_bytes_per_second=settings.min_body_bytes_per_second,
        body_grace_seconds=settings.header_timeout_seconds,
        cost_limits=CostLimits(settings.max_request_timesteps, settings.max_answer_numbers, settings.max_pending_bytes),
        size_limits=SizeLimits(settings.max_input_tokens, settings.max_input_characters, settings.max_body_bytes),
    )


def run_once(
    folder: Path, operation: Operation, limits: TextLimits, dtype: ComputeDtype | None, device: Device
) -> Outcome:
    """Load one model version and run one operation, without a server.

    Raises ModelFolderError, InvalidRequest, and SettingsError for the device.
    """
    torch.set_num_threads(1)
    task = load_version(folder, limits, dtype, device).task
    return run_operation(task, operation, task.initial_state)
