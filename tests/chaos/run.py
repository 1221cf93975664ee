"""One run: start everything, let clients work while faults strike, heal, look once more, judge."""

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.automaton import write_automaton
from tests.chaos.checksum import write_checksum
from tests.chaos.client import Client
from tests.chaos.conditioned import write_conditioned
from tests.chaos.driver import Driver, Shared
from tests.chaos.encoders import write_encoders
from tests.chaos.faults import DOING
from tests.chaos.faults.workers import put_in_place
from tests.chaos.hostile import API_KEYS, CLIENT_KEY, harass
from tests.chaos.http1 import Connections
from tests.chaos.judge import Judge
from tests.chaos.packages.catalog import PACKAGES, PackageClient
from tests.chaos.pair import Pair
from tests.chaos.proxy import Proxy
from tests.chaos.replicas import Replicas
from tests.chaos.report import Report
from tests.chaos.roster import CLIENTS
from tests.chaos.schedule import Fault, plan
from tests.chaos.service import Service
from tests.chaos.websockets import SocketConnections
from tests.chaos.world import World
from tests.served import ROOT

_HEAL_SECONDS = 120.0
#: How often a fault is tried that does not come to pass, as when no step came by to be struck.
_TRIES = 3
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run; `until_caught` ends it at the first broken promise, `hostile` adds an attacking tenant.

    With `proxy` there are two replicas behind the proxy of docker-compose.yml, which share the workers between them.
    The log of the service is copied to `log`, if that is given.
    """

    seed: int
    minutes: float
    workers: int = 2
    clients: int = len(CLIENTS)
    broken: str = ""
    until_caught: bool = False
    hostile: bool = False
    proxy: bool = False
    log: Path | None = None


async def run(options: RunOptions) -> Report:
    """Run once, and return the report."""
    with tempfile.TemporaryDirectory(prefix="unroll-chaos-") as name:
        async with _world(options, Path(name)) as world:
            judge = Judge(world.models, world.risks)
            seconds = await _work(options, world, judge)
        violations, verified = judge.verdict(world.shared.sessions, world.variants)
        violations += world.shared.wrong
        if options.log is not None:
            options.log.write_text(world.service.read_log(), "utf-8")
        return Report(
            seed=options.seed,
            minutes=options.minutes,
            seconds=seconds,
            workers=options.workers,
            clients=options.clients,
            broken=options.broken,
            proxy=options.proxy,
            operations=world.shared.operations,
            faults=world.counts + world.shared.faults,
            verified=verified + world.shared.checked,
            hostile=world.hostile,
            broken_promises=violations,
            complaints=[f"the log has an error: {line}" for line in world.service.complaints()],
        )


async def _work(options: RunOptions, world: World, judge: Judge) -> float:
    """Let clients work and faults strike, heal, and look once more; returns how many seconds that took."""
    clients = [_client(number, options, world) for number in range(options.clients)]
    started = time.monotonic()
    world.shared.until = started + 60 * options.minutes
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(conduct(world, plan(options.seed, 60 * options.minutes), started))
            if options.hostile:
                ports = world.service.port, world.service.grpc_port
                group.create_task(harass(*ports, options.seed, world.shared, world.hostile))
            for client in clients:
                group.create_task(client.run())
            if options.until_caught:
                group.create_task(_watch(world, judge))
        if not world.shared.caught.is_set():
            await world.heal()
            await world.service.ready(_HEAL_SECONDS)
            await asyncio.gather(*(client.finish() for client in clients))
    finally:
        for client in clients:
            await client.close()
        await asyncio.sleep(0)  # what is aborted, ends in the loop's next round
    return time.monotonic() - started


async def _watch(world: World, judge: Judge) -> None:
    """End the run when a promise is broken."""
    while not world.shared.stopping():
        await asyncio.sleep(_LOOK_SECONDS)
        if world.shared.wrong or judge.verdict(world.shared.sessions, world.variants)[0]:
            world.shared.caught.set()


async def conduct(world: World, faults: list[Fault], started: float) -> None:
    """Let each fault begin at its time, whatever the ones before it do; returns when all are over."""
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(world.shared.caught.wait(), max(0.0, started + fault.at - time.monotonic()))
            group.create_task(_do(world, fault))


async def _do(world: World, fault: Fault) -> None:
    for _ in range(_TRIES):
        if world.shared.stopping():
            return
        if await DOING[fault.kind](world, fault):
            world.counts[fault.kind] += 1
            return


def _client(number: int, options: RunOptions, world: World) -> Client | PackageClient:
    api_key = CLIENT_KEY if options.hostile else ""
    role = CLIENTS[number % len(CLIENTS)]
    if role.package:
        service = world.service
        return PACKAGES[role.package](
            number, options.seed, role, world.shared, service.port, service.grpc_port, api_key
        )
    connections = (SocketConnections if role.websocket else Connections)(world.service.port, api_key)
    driver = Driver(connections, world.shared, f"{options.seed} {number}")
    return Client(number, options.seed, role, driver, world.shared)


@contextlib.asynccontextmanager
async def _world(options: RunOptions, folder: Path) -> AsyncIterator[World]:
    models = _write_models(folder)
    store = Pair(folder)
    proxy = Proxy(folder / "proxy.sock", store.master.socket, on_disk=store.on_disk)
    start = Replicas if options.proxy else Service
    api_keys = API_KEYS if options.hostile else ""
    service = start(folder, models, proxy.address, options.workers, options.broken, api_keys)
    sampling = asyncio.create_task(store.sample_forever())
    try:
        await store.start()
        await proxy.start()
        await service.start()
        yield World(service, store, proxy, models, Shared(0.0, Counter(), Counter()))
    finally:
        sampling.cancel()
        await asyncio.to_thread(service.stop)
        await proxy.stop()
        store.stop()


def _write_models(folder: Path) -> Path:
    """The models folder: the automaton, one to be swapped, one of each further task, and what is bundled."""
    models = folder / "models"
    write_automaton(models, "adder")
    (models / "swapped").mkdir()
    put_in_place(models, write_automaton(folder / "variants", "0"))
    write_encoders(models)
    write_conditioned(models)
    write_checksum(models, "checksum")
    for bundled in {role.model for role in CLIENTS if (ROOT / "models" / role.model).is_dir()}:
        (models / bundled).symlink_to(ROOT / "models" / bundled)
    return models
