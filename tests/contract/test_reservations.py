"""Memory that the sessions of a tenant reserve, on real servers: counted, limited, given back."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from store_support import NOW, make_record, stepped

from service.domain.errors import RateLimited
from service.domain.limits import LimitsOfTenants
from service.store import RedisStore
from service.store.index.reservations import OVERHEAD_BYTES, reserved_bytes

MakeStore = Callable[..., RedisStore]

pytestmark = [pytest.mark.parametrize("deployment", ["single", "cluster"], indirect=True, scope="session")]

STATE = bytes(10_000)


def limits(**values: float) -> LimitsOfTenants:
    return LimitsOfTenants({"tenant": values})


async def reserved(client: Redis, prefix: str, tenant: str = "tenant") -> int:
    return int(await client.get(f"{prefix}:{{index:{tenant}}}:bytes") or 0)


async def test_the_number_of_live_sessions_is_limited(make_store: MakeStore) -> None:
    store = make_store(limits=limits(sessions=2))
    for number in range(2):
        await store.create("tenant", f"id{number}", make_record())
    with pytest.raises(
        RateLimited, match=r"2 live sessions: expected at most 2 \(sessions in UNROLL_TENANT_LIMITS\)"
    ) as full:
        await store.create("tenant", "id2", make_record())
    assert full.value.applied == "no"
    assert full.value.retry_after
    assert await store.read("tenant", "id2") is None
    await store.create("other", "id2", make_record())
    await store.end("tenant", "id0")
    await store.create("tenant", "id2", make_record())


async def test_sessions_count_with_the_states_that_they_may_keep(
    make_store: MakeStore, client: Redis, prefix: str
) -> None:
    store = make_store(limits=limits(state_bytes=100_000))
    record = make_record(state=STATE, kept_steps=3)
    await store.create("tenant", "id0", record)
    assert 4 * len(STATE) <= await reserved(client, prefix) <= 1.011 * (4 * len(STATE) + OVERHEAD_BYTES)
    await store.create("tenant", "id1", record)
    with pytest.raises(RateLimited, match=r"expected at most 100000 \(state_bytes in"):
        await store.create("tenant", "id2", record)
    assert await store.read("tenant", "id2") is None
    assert await store.active() == 2


async def test_what_ends_or_expires_is_given_back(make_store: MakeStore, client: Redis, prefix: str) -> None:
    store = make_store()
    await store.create("tenant", "kept", make_record(state=STATE))
    kept = await reserved(client, prefix)
    await store.create("tenant", "ending", make_record(state=STATE))
    await store.create("tenant", "expiring", make_record(state=STATE, ttl_seconds=1))
    assert await reserved(client, prefix) == 3 * kept
    await store.end("tenant", "ending")
    assert await reserved(client, prefix) == 2 * kept
    await asyncio.to_thread(time.sleep, 2.4)
    assert await store.active() == 1
    assert await reserved(client, prefix) == kept
    await store.end("tenant", "kept")
    await store.active()
    assert await reserved(client, prefix) == 0


async def test_a_session_that_is_created_again_or_not_at_all_reserves_nothing_more(
    make_store: MakeStore, client: Redis, prefix: str
) -> None:
    store = make_store(limits=limits(sessions=1))
    created = await store.create("tenant", "id", make_record(state=STATE))
    once = await reserved(client, prefix)
    assert await store.create("tenant", "id", make_record(state=STATE)) == created
    assert await reserved(client, prefix) == once
    with pytest.raises(RateLimited):
        await store.create("tenant", "other", make_record(state=STATE))
    assert await reserved(client, prefix) == once


async def test_another_creation_of_the_same_session_gives_its_reservation_back(
    make_store: MakeStore, client: Redis, prefix: str
) -> None:
    store = make_store()
    created = await store.create("tenant", "id", make_record(state=STATE))
    once = await reserved(client, prefix)
    assert await store.create("tenant", "id", make_record(state=STATE, created_at=NOW + 5)) == created
    assert await reserved(client, prefix) == once
    assert await store.active() == 1


async def test_entries_of_an_earlier_version_are_counted_when_they_are_renewed(
    make_store: MakeStore, client: Redis, prefix: str
) -> None:
    store = make_store()
    record = await store.create("tenant", "id", make_record(state=STATE))
    expiry = f"{prefix}:{{index:tenant}}:expiry"
    ((member, score),) = await client.zrange(expiry, 0, -1, withscores=True)
    await client.zadd(expiry, {member: int(score)})
    await client.delete(f"{prefix}:{{index:tenant}}:bytes")
    longer = 10 * record.ttl_seconds
    await store.write("tenant", "id", replace(stepped(record), ttl_seconds=longer, expires_at=NOW + 1000 * longer))
    assert await reserved(client, prefix) >= reserved_bytes(record)
