"""The memory of one server, as tenants share it: a greedy one, and sessions that outgrow what they reserved."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from store_support import Observed, make_client, make_record, stepped

from service.domain.errors import RateLimited, StoreFull
from service.domain.limits import LimitsOfTenants
from service.domain.sessions import LastStep, Record
from service.store import EmbeddedServer, RedisStore, connect

MakeStore = Callable[..., RedisStore]

STATE = bytes(10_000)


async def reserved(client: Redis, prefix: str) -> int:
    return int(await client.get(f"{prefix}:{{index:tenant}}:bytes") or 0)


def with_answer(record: Record, size: int) -> Record:
    last = LastStep(record.step, bytes(16), bytes(16), bytes(size))
    return replace(stepped(record), last=last)


async def test_an_answer_that_outgrows_the_reservation_is_counted_or_refused_alone(
    make_store: MakeStore, client: Redis, prefix: str
) -> None:
    store = make_store(limits=LimitsOfTenants({"tenant": {"state_bytes": 200_000}}))
    records = [await store.create("tenant", f"id{number}", make_record(state=STATE)) for number in range(3)]
    before = await reserved(client, prefix)
    sizes = [100, 100_000, 500_000]
    results = await store.write_many(
        [
            (("tenant", f"id{number}"), with_answer(record, size))
            for number, (record, size) in enumerate(zip(records, sizes, strict=True))
        ]
    )
    assert [type(result) for result in results] == [Record, Record, RateLimited]
    assert before + 90_000 < await reserved(client, prefix) < 200_000
    stored = [await store.read("tenant", f"id{number}") for number in range(3)]
    assert [record.step for record in stored if record is not None] == [1, 1, 0]


@asynccontextmanager
async def small_store(folder: Path, *, several_tenants: bool) -> AsyncIterator[RedisStore]:
    """A store whose server may use 16 MiB."""
    server = EmbeddedServer(folder / "small", max_bytes=16 * 2**20)
    server.start()
    topology = connect(server.url)
    store = RedisStore(topology, Observed(), prefix="test", several_tenants=several_tenants)
    try:
        yield store
    finally:
        await store.aclose()
        await topology.aclose()
        server.stop()


async def fill(store: RedisStore, tenant: str, **fields: object) -> RateLimited | StoreFull:
    """Create sessions until one is refused; return the refusal."""
    for number in range(1000):
        try:
            await store.create(tenant, f"{tenant}{number}", make_record(**fields))
        except (RateLimited, StoreFull) as refusal:
            return refusal
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize("kept_steps", [0, 8])
async def test_a_tenant_that_takes_all_it_can_leaves_room_for_the_others(tmp_path: Path, kept_steps: int) -> None:
    async with small_store(tmp_path, several_tenants=True) as store:
        victim = await store.create("victim", "old", make_record(state=STATE))
        fields = {"state": bytes(100_000), "kept_steps": kept_steps}
        refusal = await fill(store, "greedy", **fields)
        assert isinstance(refusal, RateLimited)
        assert "share" in refusal.message
        # What is reserved can be used, and then others still have room.
        page = await store.list("greedy", None, 200, None)
        for session_id, _ in page.sessions:
            record = await store.read("greedy", session_id)
            assert record is not None
            await store.write("greedy", session_id, replace(stepped(record), state=bytes((kept_steps + 1) * 100_000)))
        assert (await store.write("victim", "old", stepped(victim))).step == 1
        assert (await store.create("victim", "new", make_record(state=STATE))).step == 0
        await store.ping()


async def test_the_only_tenant_is_told_that_the_store_is_full(tmp_path: Path) -> None:
    async with small_store(tmp_path, several_tenants=False) as store:
        refusal = await fill(store, "public", state=bytes(100_000))
        assert isinstance(refusal, StoreFull)
        assert refusal.applied == "no"
        await store.ping()


async def test_tombstones_are_short_lived_while_the_store_is_nearly_full(tmp_path: Path) -> None:
    async with small_store(tmp_path, several_tenants=False) as store:
        await store.create("tenant", "early", make_record())
        await store.end("tenant", "early")
        await fill(store, "public", state=bytes(100_000))
        await store.create("tenant", "late", make_record())
        await store.end("tenant", "late")
        async with make_client(f"unix://{tmp_path}/small/store.sock") as admin:
            assert await admin.pttl("test:tenant:{early}") > 60 * 60 * 1000
            assert 0 < await admin.pttl("test:tenant:{late}") <= 60 * 1000
