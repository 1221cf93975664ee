"""Checks of the store: what its servers are, how they are configured, their clock, and how long a write takes."""

import asyncio
import contextlib
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from service.deployment.finding import Finding
from service.domain.errors import SettingsError
from service.domain.sessions import Durability
from service.settings import Settings
from service.store.driver.connect import connect
from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.topology import Topology
from service.store.embedded.binary import find_server
from service.store.embedded.server import EmbeddedServer
from service.store.memory_usage import MemoryUsage
from service.store.server_checks import warnings

#: Time for each question to the store.
TIMEOUT_SECONDS = 5.0
#: Number of writes whose time is measured, and their size, that of a small session's record. There are fewer if they
#: take long: a write that waits in vain for a replica takes a second.
WRITES = 50
WRITE_BYTES = 4096
WRITES_SECONDS = 2.0
#: Lifetime of the key that is written, should its deletion not arrive.
PROBE_SECONDS = 60
#: A step costs at least one round trip; above this the store is far away, or its disk is slow.
SLOW_SECONDS = 0.005
#: Clocks of workers and servers that differ by more let sessions expire early or late.
MAX_SKEW_SECONDS = 1.0
#: Part of the memory limit above which there is little left for new sessions.
FULL_FRACTION = 0.75
#: What a step at a durability level waits for after its write, in milliseconds.
_WAITS: dict[Durability, tuple[str | int, ...]] = {
    "memory": (),
    "replicated": ("WAIT", 1, 1000),
    "fsynced": ("WAITAOF", 1, 0, 1000),
}


def check_store(settings: Settings) -> list[Finding]:
    """Return findings about the store of the settings; the embedded one if they name none."""
    try:
        if settings.redis_url is None:
            return [*_check_embedded(settings)]
        return asyncio.run(_check_url(settings, settings.redis_url))
    except SettingsError as error:
        return [Finding.error("store", str(error))]


def _check_embedded(settings: Settings) -> Iterator[Finding]:
    """Start a server in a temporary folder: the one of the state directory may serve, and must not be disturbed."""
    yield Finding.ok("store", f"REDIS_URL is not set: `unroll serve` starts {find_server()} in {settings.state_dir}")
    with tempfile.TemporaryDirectory(prefix="unroll-doctor-") as folder:
        server = EmbeddedServer(Path(folder), max_bytes=settings.store_max_bytes)
        server.start()
        try:
            yield from asyncio.run(_check_url(settings, server.url))
        finally:
            server.stop()


async def _check_url(settings: Settings, url: str) -> list[Finding]:
    async with _connected(url) as topology:
        try:
            masters = await topology.masters(asyncio.get_running_loop().time() + TIMEOUT_SECONDS)
            findings = [
                finding
                for master in masters
                for finding in await _check_server(master, _own_key(settings, topology, master, len(masters)), settings)
            ]
        except (ReplyLost, RedisError, OSError) as error:
            return [Finding.error("store", f"no answer: found {type(error).__name__}, expected a server at REDIS_URL")]
        return findings + [Finding.warning("store", text) for text in await warnings(topology, settings.durability)]


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Topology]:
    topology = connect(url, TIMEOUT_SECONDS)
    try:
        yield topology
    finally:
        await topology.aclose()


def _own_key(settings: Settings, topology: Topology, master: Node, masters: int) -> str:
    """Return a new key that belongs to a master."""
    while True:
        key = f"{settings.key_prefix}:doctor:{{{secrets.token_hex(8)}}}"
        if masters == 1 or topology.shard_of(key) == master.name:
            return key


async def _check_server(master: Node, key: str, settings: Settings) -> list[Finding]:
    server = await master.client.info("server")
    valkey = server.get("valkey_version")
    product, version = ("Valkey", valkey) if valkey else ("Redis", server.get("redis_version"))
    return [
        Finding.ok("store", f"{master.name} answers: {product} {version}"),
        await _check_memory(master),
        await _check_clock(master),
        await _check_writes(master.client, key, settings),
    ]


async def _check_memory(master: Node) -> Finding:
    (reply,) = await execute_pipeline(master, [("INFO", "memory")], asyncio.get_running_loop().time() + TIMEOUT_SECONDS)
    usage = MemoryUsage.parse(reply)
    if usage is None:
        return Finding.warning("store", f"{master.name} does not tell its memory: expected INFO to be allowed")
    used = f"{master.name} uses {usage.used / 2**20:,.1f} MiB of memory"
    if not usage.limit:
        return Finding.warning("store", f"{used}: found no maxmemory, expected a limit under the machine's memory")
    share = f"{used} of {usage.limit / 2**20:,.0f} MiB"
    if usage.used > FULL_FRACTION * usage.limit:
        return Finding.warning("store", f"{share}: expected less than {FULL_FRACTION:.0%}")
    return Finding.ok("store", share)


async def _check_clock(master: Node) -> Finding:
    before = time.time()
    seconds, microseconds = await master.client.time()
    skew = seconds + microseconds / 1e6 - (before + time.time()) / 2
    text = f"the clock of {master.name} differs from this machine's by {abs(skew) * 1000:,.0f} ms"
    if abs(skew) > MAX_SKEW_SECONDS:
        return Finding.warning(
            "clock", f"{text}: expected less than {MAX_SKEW_SECONDS:.0f} s, see NTP of both machines"
        )
    return Finding.ok("clock", text)


async def _check_writes(client: Redis, key: str, settings: Settings) -> Finding:
    """Write a key as steps write records, and tell how long a write takes at the durability level."""
    try:
        times = await _time_writes(client, key, _WAITS[settings.durability])
    except ResponseError as error:
        return Finding.error("store", f"a write is refused: found {error}, expected the right to write {key}")
    finally:
        with contextlib.suppress(RedisError, OSError):
            await client.delete(key)
    median, worst = statistics.median(times), max(times)
    text = (
        f"a write of {WRITE_BYTES} bytes at durability {settings.durability} takes {median * 1000:.2f} ms, "
        f"{worst * 1000:.2f} ms at most of {len(times)}"
    )
    if median > SLOW_SECONDS:
        return Finding.warning(
            "store", f"{text}: expected less than {SLOW_SECONDS * 1000:.0f} ms, since every step waits for one"
        )
    return Finding.ok("store", text)


async def _time_writes(client: Redis, key: str, wait: Sequence[str | int]) -> list[float]:
    times, value = list[float](), bytes(WRITE_BYTES)
    while len(times) < WRITES and sum(times) < WRITES_SECONDS:
        started = time.perf_counter()
        await client.set(key, value, ex=PROBE_SECONDS)
        if wait:
            await client.execute_command(*wait)  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - started)
    return times
