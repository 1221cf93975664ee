"""What the store's tests share: records, a recording observer, polling with a deadline."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from redis.asyncio import Redis

from service.domain.sessions import Record
from service.store import EmbeddedServer
from service.store.driver.nodes import Nodes
from service.store.driver.url import StoreUrl

NOW = 1_900_000_000_000
WAIT_SECONDS = 15.0


def make_record(**changes: object) -> Record:
    base = Record(
        model="words",
        version="1",
        fingerprint="ab" * 32,
        dtype="float32",
        step=0,
        timesteps=0,
        created_at=NOW,
        expires_at=NOW + 600_000,
        ttl_seconds=600,
        durability="memory",
        kept_steps=0,
        state=bytes(range(256)),
    )
    return replace(base, **changes)


def stepped(record: Record, seconds: int = 1) -> Record:
    """The record after a step, `seconds` later."""
    return replace(record, step=record.step + 1, expires_at=record.expires_at + seconds * 1000)


@dataclass
class Observed:
    calls: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    cache: list[str] = field(default_factory=list)
    up: bool | None = None
    ended: dict[str, int] = field(default_factory=dict)

    def store_call(self, operation: str, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append(operation)

    def store_error(self, code: str) -> None:
        self.errors.append(code)

    def store_memory(self, used: int, limit: int) -> None:
        pass

    def store_persistence(self, append_only: bool, replicas: int) -> None:
        pass

    def store_up(self, up: bool) -> None:
        self.up = up

    def session_cache(self, outcome: str) -> None:
        self.cache.append(outcome)

    def session_ended(self, reason: str, count: int = 1) -> None:
        self.ended[reason] = self.ended.get(reason, 0) + count


def make_client(url: str) -> Redis:
    """The driver's client of one server, for looking and for breaking things."""
    address = StoreUrl.parse(url)
    return Nodes(address.options, timeout=2.0, connections=32).from_url(address).client


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until the condition holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():
            await asyncio.to_thread(time.sleep, 0.01)


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds, without an event loop."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


async def listen(server: EmbeddedServer) -> int:
    """Have the server take replicas, on the port that is returned."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    async with make_client(server.url) as admin:
        await admin.config_set("port", port)
        await admin.config_set("repl-diskless-sync-delay", 0)
    return port


async def follow(server: EmbeddedServer, port: int) -> None:
    """Make the server a replica of the one on that port."""
    async with make_client(server.url) as admin:
        await admin.execute_command("REPLICAOF", "127.0.0.1", port)


async def await_replicas(server: EmbeddedServer, count: int) -> None:
    """Return when so many replicas are connected and have confirmed something: they are listed before that."""
    async with make_client(server.url) as admin:

        async def connected() -> bool:
            replicas = (await admin.execute_command("ROLE"))[2]
            return len(replicas) == count and all(int(offset) > 0 for _, _, offset in replicas)

        await eventually(connected)


async def process_of(server: EmbeddedServer) -> int:
    """Return the process id of a server."""
    async with make_client(server.url) as admin:
        return int((await admin.info("server"))["process_id"])
