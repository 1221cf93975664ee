"""Wires the parts of a worker together, starts and stops them in order. The only place that knows everyone."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from starlette.types import ASGIApp

from service.application.admission import Admission
from service.application.health import Health
from service.application.model_versions.reconciler import Upgrades
from service.application.model_versions.resolver import Models
from service.application.model_versions.retirement import Retirement
from service.application.model_versions.session_scan import Searches
from service.application.ports import Clock, Engine, StateFiles, StateStore
from service.application.predictions import Predictions
from service.application.sessions.creation import Creations
from service.application.sessions.locks import Lanes
from service.application.sessions.sessions import Sessions
from service.application.sessions.state_transfer import Transfers
from service.application.sessions.steps import Steps
from service.domain.errors import SettingsError, UnrollError
from service.domain.operations import Arithmetic, Device, Operation, Outcome
from service.domain.sessions import Durability
from service.engine.engine import BatchingEngine
from service.engine.model_repository import Shelf
from service.engine.registry import Catalogue, load_version
from service.engine.runner import outcome_of, run_timestep
from service.engine.state_export import SafetensorsFiles
from service.http.app import create_app
from service.http.dependencies import Services
from service.http.middleware.request import GateSettings
from service.nets.device import require
from service.settings import Settings
from service.store.driver.connect import connect
from service.store.driver.topology import Topology
from service.store.redis_store import RedisStore
from service.store.server_checks import warnings
from service.store.worker_registry import RedisFleet
from service.tasks.limits import TextLimits
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

#: How often the live sessions are counted and the expired dropped from the store's index.
COUNT_EVERY_SECONDS = 5.0
#: How many objects more start a collection. Python's 700 are a few requests: 3 % of a step's time went there.
YOUNG_OBJECTS = 10_000
#: How long a worker that says nothing still counts, beside three looks at the models.
FRESH_SECONDS = 8.0


class SystemClock:
    """The Clock of this machine."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Fittings:
    """What the use cases see of the outside: the real parts, or what a test puts around them to break them."""

    clock: Clock = field(default_factory=SystemClock)
    engine: Callable[[Engine], Engine] = lambda engine: engine
    store: Callable[[StateStore], StateStore] = lambda store: store


PLAIN = Fittings()


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker: its ASGI application, the admission to close when it stops, and the engine's end."""

    app: ASGIApp
    admission: Admission
    engine_ended: Callable[[], Coroutine[None, None, None]]


@asynccontextmanager
async def running_worker(settings: Settings, fittings: Fittings = PLAIN) -> AsyncIterator[Worker]:
    """Start the parts, give the wired application, and stop the parts. Raises SettingsError."""
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: a worker needs a store, `unroll serve` starts a private one")
    for dtype in (None, *settings.dtype.values()):
        require(settings.device, dtype)
    topology = connect(settings.redis_url, settings.store_timeout_seconds)
    torch.set_num_threads(1)
    metrics, clock = Metrics(), fittings.clock
    catalogue = Catalogue()
    store = RedisStore(
        topology, metrics, prefix=settings.key_prefix, timeout=settings.store_timeout_seconds, now=clock.now
    )
    # Rows of one product are rounded differently with their number: alone, an operation's are always as many.
    max_batch = 1 if settings.deterministic else settings.max_batch
    engine = BatchingEngine(catalogue, metrics, clock.monotonic, max_batch=max_batch, max_queue=settings.max_queue)
    ports = fittings.engine(engine), fittings.store(store), SafetensorsFiles(catalogue)
    services = _wire(settings, *ports, metrics=metrics, clock=clock)
    upgrades = _wire_upgrades(settings, services, engine, catalogue, topology)
    await upgrades.start()
    _warn_of_strangers(settings, engine)
    engine.start()
    # A full collection takes over 100 ms with torch imported: what is loaded by now is never collected.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    watching = [
        asyncio.create_task(_watch_store(topology, store, services.health, settings.durability)),
        asyncio.create_task(upgrades.run(settings.models_poll_seconds)),
    ]
    try:
        yield Worker(create_app(services, _gate_settings(settings)), services.admission, engine.ended)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await upgrades.stop()
        await engine.stop()
        await store.aclose()
        await topology.aclose()


def _warn_of_strangers(settings: Settings, engine: Engine) -> None:
    """Warn of models that a setting names and that are not served: misspelt, or refused."""
    served = {one.name for one in engine.versions()}
    for name in sorted(settings.dtype.keys() - served - {""}):
        log.warning("dtype of no served model", extra={"model": name, "served": sorted(served)})


def text_limits(settings: Settings) -> TextLimits:
    """Return the limits that a request's text must keep."""
    return TextLimits(settings.max_input_tokens, settings.max_generated_tokens)


def _wire(
    settings: Settings, engine: Engine, store: StateStore, files: StateFiles, *, metrics: Metrics, clock: Clock
) -> Services:
    models, lanes, admission = Models(engine), Lanes(), Admission(settings.max_requests, clock.monotonic)
    creations = Creations(engine=engine, store=store, observer=metrics, clock=clock, durability=settings.durability)
    sessions = Sessions(
        models=models,
        engine=engine,
        store=store,
        lanes=lanes,
        observer=metrics,
        clock=clock,
        creations=creations,
    )
    steps = Steps(
        sessions=sessions, models=models, engine=engine, store=store, lanes=lanes, observer=metrics, clock=clock
    )
    return Services(
        models=models,
        predictions=Predictions(models, engine),
        sessions=sessions,
        steps=steps,
        transfers=Transfers(sessions=sessions, creations=creations, models=models, files=files),
        health=Health(engine, store, admission, metrics),
        admission=admission,
        observer=metrics,
        clock=clock,
        exposition=metrics.exposition,
    )


def _wire_upgrades(
    settings: Settings, services: Services, engine: Engine, catalogue: Catalogue, topology: Topology
) -> Upgrades:
    poll, timeout = settings.models_poll_seconds, settings.store_timeout_seconds
    fresh = FRESH_SECONDS + 3 * poll
    return Upgrades(
        models=services.models,
        engine=engine,
        shelf=Shelf(settings.models, catalogue, text_limits(settings), settings.dtype_of, settings.device),
        fleet=RedisFleet(topology, prefix=settings.key_prefix, timeout=timeout, fresh=fresh),
        observer=services.observer,
        clock=services.clock,
        retirement=Retirement(int(settings.model_grace_seconds * 1000), settings.retire_superseded),
        # A step tells of itself at the next look, which a slow store delays.
        searches=Searches(int((2 * poll + timeout) * 1000)),
        fresh_seconds=fresh,
    )


def _gate_settings(settings: Settings) -> GateSettings:
    return GateSettings(settings.max_body_bytes, settings.request_timeout_seconds, settings.api_keys)


async def _watch_store(topology: Topology, store: RedisStore, health: Health, durability: Durability) -> None:
    """Share the secret before the first request needs it, warn of the servers' settings, count sessions."""
    looked = False
    while True:
        with contextlib.suppress(UnrollError):
            # A store that came back empty gets the secret back: its ids stay genuine, and their sessions honestly gone.
            await store.share_secret()
            if not looked:
                for warning in await warnings(topology, durability):
                    log.warning("store setting", extra={"reason": warning})
                looked = True
        # A master that was replaced may still answer those who do not ask.
        await topology.refresh(asyncio.get_running_loop().time() + COUNT_EVERY_SECONDS)
        await health.count_sessions()
        await asyncio.sleep(COUNT_EVERY_SECONDS)


def run_once(
    folder: Path, operation: Operation, limits: TextLimits, dtype: Arithmetic | None, device: Device
) -> Outcome:
    """Load one model version and run one operation, without a server.

    Raises ModelFolderError, InvalidRequest, and SettingsError for the device.
    """
    torch.set_num_threads(1)
    task = load_version(folder, limits, dtype, device).task
    sequence = task.start(operation, task.initial_state)
    while not sequence.finished:
        (failure,) = run_timestep(task, [sequence])
        if failure is not None:
            raise failure
    return outcome_of(task, sequence)
