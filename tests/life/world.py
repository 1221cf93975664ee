"""Two real workers over one real Valkey, in this process: requests go to either of them, past no socket."""

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from redis import Redis

from service.application.ports import StateStore
from service.bootstrap.worker import Overrides, running_worker
from service.settings import Settings
from service.store import EmbeddedServer
from service.store.keys import Keys
from tests.folders import write_language_model
from tests.life.oracle import Oracle

T = TypeVar("T")
TENANTS = ("alice", "bob")
PREFIX = "life"
SECRET = f"{PREFIX}:secret"
#: Names to versions; sessions that name none get the last.
MODELS = {"tiny": ("1",), "pair": ("1", "2")}


@dataclass
class StoryClock:
    """Time on the wall that moves when told; deadlines go by the machine's own. Workers' clocks differ a little."""

    behind: int = 0
    milliseconds: int = 1_900_000_000_000

    def now(self) -> int:
        return self.milliseconds - self.behind

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class World:
    """What the tests act upon: `send` for clients, `redis` for whatever happens to the store itself."""

    redis: Redis
    oracles: dict[tuple[str, str], Oracle]
    clocks: list[StoryClock] = field(default_factory=lambda: [StoryClock(), StoryClock(behind=50)])
    stores: list[StateStore] = field(default_factory=list)
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def send(self, worker: int, tenant: str, method: str, path: str, body: object = None, **headers: str) -> Any:
        """One request to one worker; its response."""
        return self.run(self.sending(worker, tenant, method, path, body, **headers))

    async def sending(
        self, worker: int, tenant: str, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        given = {"Authorization": f"Bearer key-of-{tenant}", **headers}
        return await self.clients[worker].request(method, f"/v1/sessions{path}", json=body, headers=given)

    def tick(self, milliseconds: int) -> None:
        for clock in self.clocks:
            clock.milliseconds += milliseconds

    def forget(self) -> None:
        """Leave nothing in the store but what both workers know: the secret."""
        for key in self.stored() - {SECRET}:
            self.redis.delete(key)

    def stored(self) -> set[str]:
        """All keys of the service, but for what its workers tell each other."""
        keys = {key.decode() for key in self.redis.scan_iter(match=f"{PREFIX}:*", count=1000)}
        return keys - {*Keys(PREFIX).worker_registry}

    def counters(self) -> dict[str, float]:
        """What both workers have counted together, by name and labels: `sessions_ended_total{reason="deleted"}`."""
        found: Counter[str] = Counter()
        for client in self.clients:
            told = self.run(client.get("/metrics")).text
            found.update(
                {name: float(value) for name, value in re.findall(r"^unroll_(\S+) (\S+)$", told, re.MULTILINE)}
            )
        return found

    def session_key(self, tenant: str, session_id: str) -> str:
        return f"{PREFIX}:{tenant}:{{{session_id}}}"


@contextlib.contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """Start the server and both workers; stop them at the end."""
    models = folder / "models"
    for seed, (name, versions) in enumerate(MODELS.items()):
        for version in versions:
            write_language_model(models, name, version, cell="gru" if len(versions) > 1 else "lstm", seed=seed)
            seed += 7  # noqa: PLW2901 - versions differ too
    server = EmbeddedServer(folder / "state")
    server.start()
    try:
        with asyncio.Runner() as runner, Redis.from_url(server.url) as redis:
            # Else each step of a session that wants the disk waits for up to a second.
            redis.config_set("appendfsync", "always")
            oracles = {
                (name, version): Oracle(models / name / version)
                for name, versions in MODELS.items()
                for version in versions
            }
            world = World(redis, oracles, _runner=runner)
            stack = contextlib.AsyncExitStack()
            world.run(_start(world, stack, models, server.url))
            try:
                yield world
            finally:
                world.run(stack.aclose())
    finally:
        server.stop()


async def _start(world: World, stack: contextlib.AsyncExitStack, models: Path, url: str) -> None:
    settings = Settings(
        models=models,
        redis_url=url,
        key_prefix=PREFIX,
        store_timeout_seconds=10,
        public_operations=True,
        api_keys=",".join(f"{tenant}:key-of-{tenant}" for tenant in TENANTS),
    )

    def keep(store: StateStore) -> StateStore:
        world.stores.append(store)
        return store

    for clock in world.clocks:
        overrides = Overrides(clock=clock, store=keep)
        worker = await stack.enter_async_context(running_worker(settings, overrides))
        transport = httpx.ASGITransport(worker.app)
        world.clients.append(
            await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://w"))
        )
