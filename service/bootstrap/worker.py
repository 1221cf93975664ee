"""Composition root: wires the parts of a worker together, and starts and stops them in order."""

import contextlib
import gc
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from starlette.types import ASGIApp

from service import certificates
from service.application.limits.admission import Admission
from service.application.model_versions.refresh import RefreshLimiter
from service.application.model_versions.resolver import VersionResolver
from service.application.ports import Clock, Engine, StateStore
from service.bootstrap.api_keys import load_keys_file, make_keys
from service.bootstrap.models import make_repository
from service.bootstrap.servers import GrpcListener, make_grpc, request_settings
from service.bootstrap.store import make_membership, make_rate_limits, make_store
from service.bootstrap.use_cases import wire_reconciler, wire_services
from service.certificates import Certificate
from service.domain.errors import SettingsError
from service.domain.limits import LimitsOfTenants
from service.domain.runtime.loop_stalls import STALLS
from service.engine.engine import BatchingEngine
from service.engine.loaded_models import ModelRegistry
from service.engine.state_export import SafetensorsStateFiles
from service.http.app import create_app
from service.http.connection_refusals import ConnectionRefusals
from service.lifecycle import run_in_background, stop_part
from service.nets.device import require_device
from service.settings import Settings
from service.store.driver.connect import connect
from service.store.store_watcher import watch_store
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

#: Number of new objects that starts a garbage collection. Python's default of 700, a few requests, costs 3 % of a step.
GC_THRESHOLD = 10_000
#: How long a thread that computes keeps the event loop waiting for Python. Python's default is ten times as long.
SWITCH_SECONDS = 0.0005
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


@dataclass(frozen=True, slots=True)
class Worker:
    """Running worker: its ASGI application and what answers requests that never reach it, its admission, which a
    shutdown closes, a wait for the engine's end, and its gRPC server and certificate, if it has them.
    """

    app: ASGIApp
    refusals: ConnectionRefusals
    admission: Admission
    engine_ended: Callable[[], Coroutine[None, None, None]]
    grpc: GrpcListener | None = None
    certificate: Certificate | None = None


@asynccontextmanager
async def running_worker(settings: Settings, overrides: Overrides = NO_OVERRIDES) -> AsyncIterator[Worker]:
    """Run the parts of a worker and yield its application. Raises SettingsError.

    The parts stop in the reverse order of their start. Each of them stops even if others fail to start or to stop.
    """
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: a worker needs a store, `unroll serve` starts a private one")
    for dtype in (None, *settings.dtype.values()):
        require_device(settings.device, dtype)
    certificate = certificates.load(settings)
    torch.set_num_threads(1)
    metrics, clock, registry = Metrics(), overrides.clock, ModelRegistry()
    keys, limits = make_keys(settings), LimitsOfTenants(settings.tenant_limits)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(metrics.flush)
        stack.enter_context(STALLS.sampled(metrics.event_loop_lag))
        topology = connect(settings.redis_url, settings.store_timeout_seconds)
        stack.push_async_callback(stop_part, "connections", topology.aclose)
        store = make_store(settings, limits, topology, metrics, clock)
        stack.push_async_callback(stop_part, "store", store.aclose)
        # The number of rows changes the rounding of a matrix product. It is constant for an operation that runs alone.
        max_batch = 1 if settings.deterministic else settings.max_batch
        engine = BatchingEngine(
            registry,
            metrics,
            clock.monotonic,
            max_batch=max_batch,
            max_queue=settings.max_queue,
            weight_of=limits.weight_of,
        )
        stack.push_async_callback(stop_part, "engine", engine.stop)
        ports = overrides.engine(engine), overrides.store(store), SafetensorsStateFiles(registry)
        rate_limits = make_rate_limits(settings, limits, topology, clock)
        keys_file = load_keys_file(settings, keys, limits, rate_limits, clock)
        membership = make_membership(settings, topology, clock)
        tracing = Tracing() if settings.traces == "otlp" else None
        if tracing is not None:
            stack.push_async_callback(stop_part, "traces", tracing.aclose)
        services = wire_services(
            settings,
            *ports,
            membership=membership,
            keys=keys,
            limits=limits,
            rate_limits=rate_limits,
            metrics=metrics,
            tracing=tracing,
            clock=clock,
        )
        stack.push_async_callback(stop_part, "steps", services.steps.drain)
        repository = make_repository(settings, registry, overrides.architectures)
        reconciler = wire_reconciler(settings, services, engine, repository, membership)
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
        if certificate is not None:
            run_in_background(stack, "certificate", certificate.watch(metrics.files.certificate))
        if keys_file is not None:
            run_in_background(stack, "API keys", keys_file.watch(partial(metrics.files.reloaded, "api_keys")))
        optional_routes = (*settings.protocols, *(("console",) if settings.console else ()))
        app = create_app(services, request_settings(settings, keys), optional_routes)
        refusals = ConnectionRefusals(metrics, settings.access_log)
        grpc = make_grpc(settings, services, app.bounds, certificate)
        traced = app if tracing is None else tracing.traced(app)
        yield Worker(traced, refusals, services.admission, engine.ended, grpc, certificate)


def _tune_garbage_collection() -> None:
    """Exempt all present objects from garbage collection: a full one takes over 100 ms with torch imported.

    Python puts off the next full one until a quarter as many objects were added as the last one has left. The second
    one here leaves few. Otherwise garbage of some ten megabytes would wait for it.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()


def _warn_about_unknown_models(settings: Settings, models: VersionResolver) -> None:
    """Warn of models that a setting names and that are not served: misspelt, or refused."""
    served = models.all().keys() | models.availability.unloaded.keys()
    for name in sorted(settings.dtype.keys() - served - {""}):
        log.warning("dtype of no served model", extra={"model": name, "served": sorted(served)})
