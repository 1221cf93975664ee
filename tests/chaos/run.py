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
from tests.chaos.client import Client
from tests.chaos.driver import Driver, Shared
from tests.chaos.faults import DOING, point_to
from tests.chaos.http1 import Connections
from tests.chaos.judge import judge
from tests.chaos.proxy import Proxy
from tests.chaos.report import Report
from tests.chaos.schedule import Fault, plan
from tests.chaos.service import Service
from tests.chaos.store import Pair
from tests.chaos.world import World
from tests.served import ROOT

SHORT_TTL = 2
#: By the number of a client, again and again: most of them count exactly.
MODELS = ("adder", "adder", "swapped", "adder", "next-word", "adder", "adder", "adder")
SHORT_LIVED = {3}
_HEAL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a run."""

    seed: int
    minutes: float
    workers: int = 2
    clients: int = 16
    broken: str = ""


async def run(wanted: Wanted) -> Report:
    """Run, and tell what came of it."""
    with tempfile.TemporaryDirectory(prefix="unroll-chaos-") as name:
        async with _world(wanted, Path(name)) as world:
            started = time.monotonic()
            world.shared.until = started + 60 * wanted.minutes
            clients = [_client(number, wanted, world) for number in range(wanted.clients)]
            conducting = asyncio.create_task(conduct(world, plan(wanted.seed, 60 * wanted.minutes), started))
            await asyncio.gather(*(client.run() for client in clients))
            await conducting
            await world.heal()
            await world.service.ready(_HEAL_SECONDS)
            await asyncio.gather(*(client.finish() for client in clients))
            seconds = time.monotonic() - started
        violations, verified = judge(world.shared.sessions, world.risks, world.models, world.variants)
        complaints = [f"the log has an error: {line}" for line in world.service.complaints()]
        faults = world.counts + world.shared.faults
        return Report(wanted.seed, seconds, world.shared.operations, faults, verified, violations, complaints)


async def conduct(world: World, faults: list[Fault], started: float) -> None:
    """Let each fault begin at its time, whatever the ones before it do; returns when all are over."""
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            await asyncio.sleep(max(0.0, started + fault.at - time.monotonic()))
            group.create_task(_do(world, fault))


async def _do(world: World, fault: Fault) -> None:
    if await DOING[fault.kind](world, fault):
        world.counts[fault.kind] += 1


def _client(number: int, wanted: Wanted, world: World) -> Client:
    place = number % len(MODELS)
    ttl = SHORT_TTL if place in SHORT_LIVED else 3600
    driver = Driver(Connections(world.service.port), world.shared, f"{wanted.seed} {number}")
    return Client(number, wanted.seed, MODELS[place], driver, world.shared, ttl)


@contextlib.asynccontextmanager
async def _world(wanted: Wanted, folder: Path) -> AsyncIterator[World]:
    models = _write_models(folder)
    store = Pair(folder)
    proxy = Proxy(folder / "proxy.sock", store.master.socket, on_disk=store.on_disk)
    service = Service(folder, models, proxy.address, wanted.workers, wanted.broken)
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
    """The models folder: the automaton, one to be swapped, and what is bundled."""
    models = folder / "models"
    write_automaton(models, "adder")
    (models / "swapped").mkdir()
    point_to(models / "swapped" / "1", write_automaton(folder / "variants", "0"))
    for bundled in {model for model in MODELS if (ROOT / "models" / model).is_dir()}:
        (models / bundled).symlink_to(ROOT / "models" / bundled)
    return models
