"""Listing, counting and stepping among a million sessions of one tenant, in an embedded store.

    python -m benchmarks.many_sessions [--sessions 1000000] [--few 1000] [--state-bytes 256] [--per-millisecond 10]
                                       [--steps-only] [--json FILE]

It writes the sessions as the service does, pipelined, and measures the calls of service/store. `held` is the maximum
processor time between two turns of the event loop. The longest commands of the server come from its SLOWLOG. Machines
are noisy: compare figures of one run.
"""

import argparse
import asyncio
import base64
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
from service.store.record.codec import encode
from service.store.record.owner import RecordOwner

TENANT = "t"
BATCH = 1000
SLOW_MS = 5
TTL_SECONDS = 3600


class ExpiryCounter:
    """Observer of the store that counts expired sessions."""

    def __init__(self) -> None:
        self.expired = 0

    def store_call(self, operation: str, seconds: float) -> None: ...
    def store_error(self, code: str) -> None: ...
    def store_up(self, up: bool) -> None: ...
    def session_cache(self, outcome: str) -> None: ...

    def session_ended(self, reason: str, count: int = 1) -> None:  # noqa: ARG002 - the protocol's argument
        self.expired += count


@dataclass
class LoopDelay:
    """Measures the maximum processor time between two turns of the event loop, in milliseconds."""

    longest: float = 0.0
    _task: "asyncio.Task[None] | None" = field(default=None)

    async def __aenter__(self) -> "LoopDelay":
        self._task = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _poll(self) -> None:
        before = time.process_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.process_time()
            self.longest = max(self.longest, 1000 * (now - before))
            before = now


@dataclass(frozen=True)
class StoreAccess:
    """A store, and a connection to its server for direct commands."""

    store: RedisStore
    redis: Redis
    keys: Keys
    observer: ExpiryCounter


@asynccontextmanager
async def open_store(url: str, prefix: str) -> AsyncIterator[StoreAccess]:
    """Connect to the store at `url`; sessions have their keys under `prefix`."""
    topology, redis, observer = connect(url, timeout=600), Redis.from_url(url), ExpiryCounter()
    store = RedisStore(topology, observer, prefix=prefix, timeout=600)
    yield StoreAccess(store, redis, Keys(prefix), observer)
    await store.aclose()
    await topology.aclose()
    await redis.aclose()


def make_record(created_at: int, model: str, state_bytes: int) -> Record:
    """Return the record of a new session."""
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


def make_session_id(number: int) -> str:
    """Return an id of the form that the service issues."""
    return "ses_" + base64.b32encode(number.to_bytes(25, "big")).decode().lower()


@dataclass(frozen=True)
class Population:
    """`size` sessions of one tenant, ten of them of the model `rare`."""

    size: int
    state_bytes: int
    per_millisecond: int
    first: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def position(self, number: int) -> ListingPosition:
        return ListingPosition(self.first + number // self.per_millisecond, make_session_id(number).encode())

    def model(self, number: int) -> str:
        return "rare" if number % max(1, self.size // 10) == 7 else "common"


async def write_sessions(access: StoreAccess, population: Population) -> None:
    """Write the records and their index entries as the service does, but in large batches."""
    await access.redis.sadd(access.keys.tenants, TENANT)
    created, expiry = access.keys.index(TENANT)
    for start in range(0, population.size, BATCH):
        numbers = range(start, min(start + BATCH, population.size))
        pipeline = access.redis.pipeline(transaction=False)
        for number in numbers:
            stored = make_record(
                population.position(number).created_at, population.model(number), population.state_bytes
            )
            data = encode(stored, RecordOwner(TENANT, make_session_id(number)))
            pipeline.set(access.keys.session(TENANT, make_session_id(number)), data, px=1000 * TTL_SECONDS)
        ends = time.time_ns() // 1_000_000 + entry_lifetime_ms(TTL_SECONDS)
        pipeline.zadd(created, {population.position(number).member: 0 for number in numbers})
        pipeline.zadd(expiry, {population.position(number).member: ends for number in numbers})
        await pipeline.execute()


async def time_calls(call: Callable[[], Awaitable[object]], times: int = 1) -> list[float]:
    """Return the duration of each call in milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await call()
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def print_row(title: str, taken: Sequence[float], delay: LoopDelay, more: str = "") -> None:
    """Print a row of the table: quantiles and sum of the durations."""
    cuts = statistics.quantiles(taken, n=100) if len(taken) > 1 else [taken[0]] * 99
    print(
        f"| {title} | {cuts[49]:.2f} | {cuts[98]:.2f} | {sum(taken) / 1000:.2f} | {delay.longest:.1f} | {more} |",
        flush=True,
    )


async def measure_all_pages(access: StoreAccess, limit: int, model: str | None = None) -> None:
    taken: list[float] = []
    sessions, cursor = 0, None
    async with LoopDelay() as delay:
        while cursor is not None or not taken:
            started = time.perf_counter()
            page = await access.store.list(TENANT, None if model is None else frozenset({model}), limit, cursor)
            serializers.encode(
                [serializers.session_json(session_id, metadata, {}) for session_id, metadata in page.sessions]
            )
            taken.append(1000 * (time.perf_counter() - started))
            sessions, cursor = sessions + len(page.sessions), page.cursor
    title = f"all pages of {limit}" + (f" of a {model} model" if model else "")
    print_row(title, taken, delay, f"{len(taken):,} pages, {sessions:,} sessions")


async def measure_pages(access: StoreAccess, population: Population) -> None:
    middle = population.position(population.size // 2).cursor()
    requests = {
        "first page of 20": (None, None, 100),
        "page of 20 in the middle": (None, middle, 100),
        "page of 20 of a rare model": ("rare", None, 20),
    }
    for title, (model, cursor, times) in requests.items():
        async with LoopDelay() as delay:
            taken = await time_calls(partial(access.store.list, TENANT, model, 20, cursor), times)
        print_row(title, taken, delay)


async def measure_counting(access: StoreAccess, population: Population) -> None:
    async with LoopDelay() as delay:
        taken = await time_calls(access.store.active, 20)
    print_row("active()", taken, delay, f"{await access.store.active():,} live")
    ended = population.size // 5
    for start in range(0, ended, BATCH):
        members = [population.position(number).member for number in range(start, min(start + BATCH, ended))]
        await access.redis.zadd(access.keys.index(TENANT)[1], dict.fromkeys(members, 1))
    access.observer.expired, taken = 0, []
    async with LoopDelay() as delay:
        while access.observer.expired < ended:
            taken += await time_calls(access.store.active)
    print_row(f"active(), {ended:,} expired at once", taken, delay, f"{len(taken)} calls")


async def apply_step(access: StoreAccess, number: int) -> None:
    before = await access.store.read(TENANT, make_session_id(number))
    assert before is not None
    await access.store.write(TENANT, make_session_id(number), replace(before, step=before.step + 1))


async def compare_steps(stores: Sequence[StoreAccess], populations: Sequence[Population]) -> float:
    """Measure steps in turns, so that a busy machine affects all. Return the rate among many over that among few."""
    taken: list[list[float]] = [[] for _ in stores]
    async with LoopDelay() as delay:
        for turn in range(2000):
            for access, population, durations in zip(stores, populations, taken, strict=True):
                durations.extend(await time_calls(partial(apply_step, access, turn * 7919 % population.size)))
    for population, durations in zip(populations, taken, strict=True):
        print_row(f"step among {population.size:,}", durations, delay)
    few, many = (statistics.median(durations) for durations in taken)
    print(f"\nstep among {populations[1].size:,} / among {populations[0].size:,}: {many / few:.2f}\n")
    return few / many


async def slowest_commands(access: StoreAccess) -> str:
    """Return the longest commands of the server since the last call, in milliseconds."""
    entries = await access.redis.slowlog_get(128)
    await access.redis.slowlog_reset()
    longest = sorted(((entry["duration"] / 1000, entry["command"].split()[0]) for entry in entries), reverse=True)[:2]
    return "; ".join(f"{duration:.1f} {command.decode()}" for duration, command in longest) or f"none over {SLOW_MS}"


async def measure_listing(access: StoreAccess, population: Population) -> None:
    await slowest_commands(access)
    await measure_pages(access, population)
    await measure_all_pages(access, 1000)
    await measure_all_pages(access, 20, "rare")
    print(f"\nThe server's longest commands for listing, ms: {await slowest_commands(access)}\n")


async def measure(url: str, few: Population, many: Population, steps_only: bool) -> dict[str, float]:
    async with open_store(url, "few") as small, open_store(url, "many") as large:
        await large.redis.config_set("appendonly", "no")
        await large.redis.config_set("slowlog-log-slower-than", 1000 * SLOW_MS)
        await write_sessions(small, few)
        before, started = (await large.redis.info("memory"))["used_memory"], time.perf_counter()
        await write_sessions(large, many)
        each = ((await large.redis.info("memory"))["used_memory"] - before) / many.size
        took = time.perf_counter() - started
        print(f"{many.size:,} sessions, {many.per_millisecond:,} of each millisecond, written in {took:.0f} s")
        print(f"each takes {each:.0f} bytes, {many.state_bytes} of them its state")
        print("\n| call | p50 ms | p99 ms | all s | held ms | |\n|---|---|---|---|---|---|")
        if not steps_only:
            await measure_listing(large, many)
        of_few = await compare_steps((small, large), (few, many))
        if not steps_only:
            await slowest_commands(large)
            await measure_counting(large, many)
            print(f"\nThe server's longest commands for counting, ms: {await slowest_commands(large)}")
    return {"sessions": many.size, "of_few": of_few, "bytes_each": each, "bytes_beyond_state": each - many.state_bytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--state-bytes", type=int, default=256)
    parser.add_argument("--per-millisecond", type=int, default=10)
    parser.add_argument("--steps-only", action="store_true", help="neither list nor count them")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    few, many = (
        Population(size, arguments.state_bytes, arguments.per_millisecond)
        for size in (arguments.few, arguments.sessions)
    )
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder))
        server.start()
        try:
            figures = asyncio.run(measure(server.url, few, many, arguments.steps_only))
        finally:
            server.stop()
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures) + "\n", "utf-8")


if __name__ == "__main__":
    main()
