"""Listing, counting and stepping among a million sessions of one tenant, in a private store.

    python -m benchmarks.many_sessions [--sessions 1000000] [--few 1000] [--state-bytes 256] [--per-millisecond 10]
                                       [--steps-only] [--json FILE]

Writes the sessions as the service writes them, pipelined, and measures the calls of service/store. `held` is the
most processor time between two turns of the event loop; the server's longest command is that of its own SLOWLOG.
Machines are noisy: compare figures of one run.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from service.application.sessions import serializers
from service.domain.sessions import Record
from service.store import EmbeddedServer, RedisStore, connect
from service.store.index.cursor import ListingPosition
from service.store.index.index import entry_lifetime_ms
from service.store.keys import Keys
from service.store.record.codec import RecordOwner, encode

TENANT = "t"
BATCH = 1000
SLOW_MS = 5
TTL_SECONDS = 3600


class Silent:
    """Takes what the store tells of itself."""

    def __init__(self) -> None:
        self.expired = 0

    def store_call(self, operation: str, seconds: float) -> None: ...
    def store_error(self, code: str) -> None: ...
    def store_up(self, up: bool) -> None: ...
    def session_cache(self, outcome: str) -> None: ...

    def session_ended(self, reason: str, count: int = 1) -> None:  # noqa: ARG002 - the protocol's argument
        self.expired += count


@dataclass
class Held:
    """The most processor time that this process took between two turns of its event loop, in milliseconds."""

    longest: float = 0.0
    _task: "asyncio.Task[None] | None" = field(default=None)

    async def __aenter__(self) -> "Held":
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _look(self) -> None:
        before = time.process_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.process_time()
            self.longest = max(self.longest, 1000 * (now - before))
            before = now


@dataclass(frozen=True)
class Place:
    """A store and how to look into its server."""

    store: RedisStore
    redis: Redis
    keys: Keys
    observer: Silent


@asynccontextmanager
async def place(url: str, prefix: str) -> AsyncIterator[Place]:
    topology, redis, observer = connect(url, timeout=600), Redis.from_url(url), Silent()
    store = RedisStore(topology, observer, prefix=prefix, timeout=600)
    yield Place(store, redis, Keys(prefix), observer)
    await store.aclose()
    await topology.aclose()
    await redis.aclose()


def record(created_at: int, model: str, state_bytes: int) -> Record:
    return Record(
        model=model,
        version="1",
        fingerprint="ab" * 32,
        dtype="float32",
        step=0,
        timesteps=0,
        created_at=created_at,
        expires_at=created_at + 1000 * TTL_SECONDS,
        ttl_seconds=TTL_SECONDS,
        durability="memory",
        kept_steps=0,
        state=bytes(state_bytes),
        indexed_until=created_at + entry_lifetime_ms(TTL_SECONDS),
    )


def name(number: int) -> str:
    """An id as long as the service's own."""
    return f"ses_{number:040}"


@dataclass(frozen=True)
class Crowd:
    """So many sessions of one tenant, ten of them of the model `rare`."""

    size: int
    state_bytes: int
    per_millisecond: int
    first: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def position(self, number: int) -> ListingPosition:
        return ListingPosition(self.first + number // self.per_millisecond, name(number).encode())

    def model(self, number: int) -> str:
        return "rare" if number % max(1, self.size // 10) == 7 else "common"


async def fill(at: Place, crowd: Crowd) -> None:
    """Write the records and the entries of their index, as the service does, but many at once."""
    await at.redis.sadd(at.keys.tenants, TENANT)
    created, expiry = at.keys.index(TENANT)
    for start in range(0, crowd.size, BATCH):
        numbers = range(start, min(start + BATCH, crowd.size))
        pipeline = at.redis.pipeline(transaction=False)
        for number in numbers:
            stored = record(crowd.position(number).created_at, crowd.model(number), crowd.state_bytes)
            data = encode(stored, RecordOwner(TENANT, name(number)))
            pipeline.set(at.keys.session(TENANT, name(number)), data, px=1000 * TTL_SECONDS)
        ends = time.time_ns() // 1_000_000 + entry_lifetime_ms(TTL_SECONDS)
        pipeline.zadd(created, {crowd.position(number).member: 0 for number in numbers})
        pipeline.zadd(expiry, {crowd.position(number).member: ends for number in numbers})
        await pipeline.execute()


async def timed(call: Callable[[], Awaitable[object]], times: int = 1) -> list[float]:
    """The duration of each call in milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await call()
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def row(what: str, taken: Sequence[float], held: Held, more: str = "") -> None:
    cuts = statistics.quantiles(taken, n=100) if len(taken) > 1 else [taken[0]] * 99
    print(
        f"| {what} | {cuts[49]:.2f} | {cuts[98]:.2f} | {sum(taken) / 1000:.2f} | {held.longest:.1f} | {more} |",
        flush=True,
    )


async def page_all(at: Place, limit: int, model: str | None = None) -> None:
    taken: list[float] = []
    found, cursor = 0, None
    async with Held() as held:
        while cursor is not None or not taken:
            started = time.perf_counter()
            page = await at.store.list(TENANT, model, limit, cursor)
            serializers.encode([serializers.session(session_id, facts, {}) for session_id, facts in page.sessions])
            taken.append(1000 * (time.perf_counter() - started))
            found, cursor = found + len(page.sessions), page.cursor
    which = f"all pages of {limit}" + (f" of a {model} model" if model else "")
    row(which, taken, held, f"{len(taken):,} pages, {found:,} sessions")


async def pages(at: Place, crowd: Crowd) -> None:
    middle = crowd.position(crowd.size // 2).cursor()
    wanted = {
        "first page of 20": (None, None, 100),
        "page of 20 in the middle": (None, middle, 100),
        "page of 20 of a rare model": ("rare", None, 20),
    }
    for what, (model, cursor, times) in wanted.items():
        async with Held() as held:
            taken = await timed(partial(at.store.list, TENANT, model, 20, cursor), times)
        row(what, taken, held)


async def counting(at: Place, crowd: Crowd) -> None:
    async with Held() as held:
        taken = await timed(at.store.active, 20)
    row("active()", taken, held, f"{await at.store.active():,} live")
    ended = crowd.size // 5
    for start in range(0, ended, BATCH):
        members = [crowd.position(number).member for number in range(start, min(start + BATCH, ended))]
        await at.redis.zadd(at.keys.index(TENANT)[1], dict.fromkeys(members, 1))
    at.observer.expired, taken = 0, []
    async with Held() as held:
        while at.observer.expired < ended:
            taken += await timed(at.store.active)
    row(f"active(), {ended:,} expired at once", taken, held, f"{len(taken)} calls")


async def step(at: Place, number: int) -> None:
    before = await at.store.read(TENANT, name(number))
    assert before is not None
    await at.store.write(TENANT, name(number), replace(before, step=before.step + 1))


async def steps(places: Sequence[Place], crowds: Sequence[Crowd]) -> float:
    """In turns, so that whatever else the machine does reaches all. Returns the rate among many by that among few."""
    taken: list[list[float]] = [[] for _ in places]
    async with Held() as held:
        for turn in range(2000):
            for at, crowd, one in zip(places, crowds, taken, strict=True):
                one.extend(await timed(partial(step, at, turn * 7919 % crowd.size)))
    for crowd, one in zip(crowds, taken, strict=True):
        row(f"step among {crowd.size:,}", one, held)
    few, many = (statistics.median(one) for one in taken)
    print(f"\nstep among {crowds[1].size:,} / among {crowds[0].size:,}: {many / few:.2f}\n")
    return few / many


async def slowest(at: Place) -> str:
    """The server's longest commands since the last look, in milliseconds."""
    entries = await at.redis.slowlog_get(128)
    await at.redis.slowlog_reset()
    longest = sorted(((entry["duration"] / 1000, entry["command"].split()[0]) for entry in entries), reverse=True)[:2]
    return "; ".join(f"{duration:.1f} {command.decode()}" for duration, command in longest) or f"none over {SLOW_MS}"


async def listing(at: Place, crowd: Crowd) -> None:
    await slowest(at)
    await pages(at, crowd)
    await page_all(at, 1000)
    await page_all(at, 20, "rare")
    print(f"\nThe server's longest commands for listing, ms: {await slowest(at)}\n")


async def measure(url: str, few: Crowd, many: Crowd, steps_only: bool) -> dict[str, float]:
    async with place(url, "few") as small, place(url, "many") as large:
        await large.redis.config_set("appendonly", "no")
        await large.redis.config_set("slowlog-log-slower-than", 1000 * SLOW_MS)
        await fill(small, few)
        before, started = (await large.redis.info("memory"))["used_memory"], time.perf_counter()
        await fill(large, many)
        each = ((await large.redis.info("memory"))["used_memory"] - before) / many.size
        took = time.perf_counter() - started
        print(f"{many.size:,} sessions, {many.per_millisecond:,} of each millisecond, written in {took:.0f} s")
        print(f"each takes {each:.0f} bytes, {many.state_bytes} of them its state")
        print("\n| call | p50 ms | p99 ms | all s | held ms | |\n|---|---|---|---|---|---|")
        if not steps_only:
            await listing(large, many)
        of_few = await steps((small, large), (few, many))
        if not steps_only:
            await slowest(large)
            await counting(large, many)
            print(f"\nThe server's longest commands for counting, ms: {await slowest(large)}")
    return {"sessions": many.size, "of_few": of_few, "bytes_each": each, "bytes_beyond_state": each - many.state_bytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--state-bytes", type=int, default=256)
    parser.add_argument("--per-millisecond", type=int, default=10)
    parser.add_argument("--steps-only", action="store_true", help="neither list nor count them")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    given = parser.parse_args()
    few, many = (Crowd(size, given.state_bytes, given.per_millisecond) for size in (given.few, given.sessions))
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder))
        server.start()
        try:
            found = asyncio.run(measure(server.url, few, many, given.steps_only))
        finally:
            server.stop()
    if given.json is not None:
        given.json.write_text(json.dumps(found) + "\n", "utf-8")


if __name__ == "__main__":
    main()
