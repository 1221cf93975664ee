"""Listing and counting."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from store_support import NOW, Observed, eventually, make_record, stepped

from service.domain.errors import InvalidRequest
from service.store import RedisStore
from service.store.index.cursor import ListingPosition

pytestmark = [
    pytest.mark.parametrize("deployment", ["single", "sentinel", "cluster"], indirect=True, scope="session"),
]


async def names(store: RedisStore, limit: int, model: str | None = None) -> list[list[str]]:
    """All pages of a listing."""
    pages: list[list[str]] = []
    cursor = None
    while cursor is not None or not pages:
        page = await store.list("tenant", None if model is None else frozenset({model}), limit, cursor)
        pages.append([name for name, _ in page.sessions])
        cursor = page.cursor
    return pages


async def test_a_listing_is_paged_newest_first(store: RedisStore) -> None:
    for number in range(5):
        await store.create("tenant", f"id{number}", make_record(created_at=NOW + number))
    assert await names(store, 2) == [["id4", "id3"], ["id2", "id1"], ["id0"]]
    assert await names(store, 5) == [["id4", "id3", "id2", "id1", "id0"]]


async def test_an_empty_listing_has_no_cursor(store: RedisStore) -> None:
    page = await store.list("tenant", None, 10, None)
    assert (page.sessions, page.cursor) == ([], None)


async def test_more_sessions_of_one_millisecond_than_a_portion_are_all_listed_once(store: RedisStore) -> None:
    ids = [f"id{number:03}" for number in range(120)]
    await asyncio.gather(*(store.create("tenant", name, make_record()) for name in ids))
    pages = await names(store, 7)
    assert [name for page in pages for name in page] == ids[::-1]


async def test_sessions_created_while_paging_do_not_disturb_it(store: RedisStore) -> None:
    for number in range(4):
        await store.create("tenant", f"id{number}", make_record(created_at=NOW + number))
    first = await store.list("tenant", None, 2, None)
    await store.create("tenant", "newer", make_record(created_at=NOW + 9))
    second = await store.list("tenant", None, 2, first.cursor)
    assert [name for name, _ in second.sessions] == ["id1", "id0"]


async def test_whatever_comes_and_goes_while_paging_the_others_are_listed_once(store: RedisStore) -> None:
    """Among them the session that the cursor was made of, and neighbours of the same millisecond."""
    stay = {f"stay{number}" for number in range(30)}
    for name in sorted(stay):
        await store.create("tenant", name, make_record(created_at=NOW + int(name[4:]) // 5))
    listed: list[str] = []
    cursor, number = None, 0
    while cursor is not None or not number:
        passing = f"passing{number}"
        await store.create("tenant", passing, make_record(created_at=NOW + number % 6))
        page = await store.list("tenant", None, 3, cursor)
        cursor, number = page.cursor, number + 1
        names = [name for name, _ in page.sessions]
        listed += [name for name in names if name in stay]
        await asyncio.gather(*(store.end("tenant", name) for name in {passing, *names[-1:]}))
    assert len(listed) == len(set(listed))
    assert set(listed) == stay


async def test_a_listing_reads_no_more_than_it_tells(store: RedisStore, client: Redis) -> None:
    for number in range(20):
        await store.create("tenant", f"id{number}", make_record(state=bytes(1_000_000), created_at=NOW + number))
    sent = (await client.info("stats"))["total_net_output_bytes"] if isinstance(client, Redis) else 0
    page = await store.list("tenant", None, 50, None)
    assert [facts.state_bytes for _, facts in page.sessions] == [1_000_000] * 20
    if isinstance(client, Redis):
        assert (await client.info("stats"))["total_net_output_bytes"] - sent < 100_000


async def test_a_session_that_is_created_again_is_listed_once_and_its_first_life_counted(
    store: RedisStore, client: Redis, prefix: str, observed: Observed
) -> None:
    await store.create("tenant", "id", make_record())
    await client.delete(f"{prefix}:tenant:{{id}}")
    await store.create("tenant", "id", make_record(created_at=NOW + 5))
    assert await names(store, 10) == [["id"]]
    assert await store.active() == 1
    assert observed.ended == {"expired": 1}


async def test_a_session_that_was_created_again_and_ended_expired_once(
    store: RedisStore, client: Redis, prefix: str, observed: Observed
) -> None:
    await store.create("tenant", "id", make_record())
    await client.delete(f"{prefix}:tenant:{{id}}")
    await store.create("tenant", "id", make_record(created_at=NOW + 5))
    await store.end("tenant", "id")
    assert await names(store, 10) == [[]]
    assert observed.ended == {"expired": 1}


async def test_a_listing_can_be_of_one_model(store: RedisStore) -> None:
    for number in range(120):
        model = "rare" if number % 40 == 0 else "common"
        await store.create("tenant", f"id{number:03}", make_record(model=model, created_at=NOW + number))
    assert await names(store, 2, "rare") == [["id080", "id040"], ["id000"]]


async def test_a_tenant_sees_its_own_sessions_only(store: RedisStore) -> None:
    await store.create("tenant", "mine", make_record())
    await store.create("tenant:x", "theirs", make_record())
    assert await names(store, 10) == [["mine"]]
    assert await store.active() == 2


@pytest.mark.parametrize("cursor", ["", "!", "ü", "AAAA", "A"])
async def test_a_foreign_cursor_is_refused(store: RedisStore, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        await store.list("tenant", None, 10, cursor)


async def test_ended_and_lost_sessions_leave_the_listing(
    store: RedisStore, client: Redis, prefix: str, observed: Observed
) -> None:
    for name in ("lives", "ended", "lost", "broken", "foreign"):
        await store.create("tenant", name, make_record())
    await store.end("tenant", "ended")
    await client.delete(f"{prefix}:tenant:{{lost}}")
    await client.setrange(f"{prefix}:tenant:{{broken}}", 40, b"\xff\xff")
    await client.delete(f"{prefix}:tenant:{{foreign}}")
    await client.rpush(f"{prefix}:tenant:{{foreign}}", "another type")
    assert await names(store, 10) == [["lives"]]
    assert await store.active() == 3  # the broken ones are kept for inspection
    assert observed.ended == {"expired": 1}


async def test_expired_sessions_are_dropped_and_counted_once(
    store: RedisStore, client: Redis, prefix: str, observed: Observed
) -> None:
    names = [f"id{number}" for number in range(600)]
    await asyncio.gather(*(store.create("tenant", name, make_record(ttl_seconds=1)) for name in names))
    await store.create("other", "lives", make_record())

    async def pruned() -> bool:
        return await store.active() == 1

    await eventually(pruned)
    assert observed.ended == {"expired": 600}
    assert await client.smembers(f"{prefix}:tenants") == {b"other"}
    assert await client.exists(f"{prefix}:{{index:tenant}}:created") == 0


async def test_expired_sessions_do_not_count_before_they_are_dropped(
    store: RedisStore, client: Redis, prefix: str, observed: Observed
) -> None:
    expiry = f"{prefix}:{{index:tenant}}:expiry"
    await store.create("tenant", "lives", make_record())
    await client.zadd(expiry, {f"{number:06}": 1 for number in range(30_000)})
    assert await store.active() == 1
    assert 0 < observed.ended["expired"] < 30_000
    while observed.ended["expired"] < 30_000:
        assert await store.active() == 1
    assert await client.zcard(expiry) == 1


async def test_workers_that_count_at_once_tell_of_each_expired_session_once(
    make_store: Callable[..., RedisStore], client: Redis, prefix: str
) -> None:
    observers = [Observed() for _ in range(3)]
    stores = [make_store(observer) for observer in observers]
    for tenant in range(12):
        await stores[0].create(f"t{tenant}", "lives", make_record())
        members = {f"{number:06}": 1 for number in range(700)}
        await client.zadd(f"{prefix}:{{index:t{tenant}}}:expiry", members)
    assert await asyncio.gather(*(store.active() for store in stores)) == [12, 12, 12]
    assert sum(observer.ended.get("expired", 0) for observer in observers) == 12 * 700


async def test_nothing_stays_of_sessions_that_are_over(
    store: RedisStore, client: Redis, prefix: str, observed: Observed
) -> None:
    async def keys() -> set[bytes]:
        return {key async for key in client.scan_iter(match=f"{prefix}:*")}

    await store.secret()
    before = await keys()
    for tenant in ("one", "two:{x}"):
        for number in range(20):
            created = await store.create(tenant, f"id{number}", make_record())
            await store.write(tenant, f"id{number}", stepped(created, seconds=300 * number))
        for number in range(5):
            await store.end(tenant, f"id{number}")
    for key in await keys() - before:
        lasting = key == f"{prefix}:tenants".encode()
        assert lasting or 0 < await client.pttl(key) <= 25 * 3_600_000, key

    await let_time_pass(client, await keys() - before)
    assert await store.active() == 0
    assert observed.ended == {"expired": 30}
    assert await keys() == before


async def let_time_pass(client: Redis, keys: set[bytes]) -> None:
    """All of it: for entries of an index by their scores, for everything else by the store itself."""
    for key in keys:
        if key.endswith(b":expiry"):
            await client.zadd(key, dict.fromkeys(await client.zrange(key, 0, -1), 1))
        elif b"{index:" not in key and await client.pttl(key) > 0:
            await client.pexpire(key, 1)

            async def gone(key: bytes = key) -> bool:
                return not await client.exists(key)

            await eventually(gone)


async def test_most_steps_leave_the_index_alone_and_no_entry_ends_before_its_session(
    store: RedisStore, client: Redis, prefix: str
) -> None:
    expiry, member = f"{prefix}:{{index:tenant}}:expiry", ListingPosition(NOW, b"id").member
    record = await store.create("tenant", "id", make_record())
    entries = {await client.zscore(expiry, member)}
    for _ in range(100):
        record = await store.write("tenant", "id", stepped(record, seconds=6))
        assert record.indexed_until >= record.expires_at
        entries.add(await client.zscore(expiry, member))
    assert 3 <= len(entries) <= 6


async def test_a_shorter_ttl_reaches_the_index_at_once(store: RedisStore, observed: Observed) -> None:
    created = await store.create("tenant", "id", make_record())
    await store.write("tenant", "id", replace(created, ttl_seconds=1, expires_at=NOW + 1000))

    async def pruned() -> bool:
        return await store.active() == 0

    await eventually(pruned)
    assert observed.ended == {"expired": 1}


async def test_a_listing_forgets_the_oldest_beyond_its_bound(make_store: Callable[..., RedisStore]) -> None:
    store = make_store(index_limit=3)
    for number in range(5):
        await store.create("tenant", f"id{number}", make_record(created_at=NOW + number))
    assert await names(store, 10) == [["id4", "id3", "id2"]]
    assert await store.active() == 3
    assert await store.read("tenant", "id0") is not None


async def test_a_broken_index_fails_no_step(store: RedisStore, client: Redis, prefix: str, observed: Observed) -> None:
    await client.set(f"{prefix}:{{index:tenant}}:created", "no sorted set")
    created = await store.create("tenant", "id", make_record())
    assert (await store.write("tenant", "id", stepped(created, seconds=600))).step == 1
    assert await store.end("tenant", "id")
    assert observed.errors


async def test_usage_is_what_the_limits_of_a_tenant_look_at(store: RedisStore) -> None:
    for number in range(3):
        await store.create("tenant", f"id{number}", make_record(state=b"s" * 1000, created_at=NOW + number))
    await store.create("other", "id", make_record())
    await store.end("tenant", "id0")
    assert await store.tenants() == ["other", "tenant"]
    own, nobody = await store.usage(["tenant", "nobody"])
    assert own.sessions == 2
    assert 2 * 3048 <= own.reserved_bytes <= 2 * 3048 * 1.02
    assert (nobody.sessions, nobody.reserved_bytes) == (0, 0)


async def test_a_listing_has_the_sessions_of_some_models(store: RedisStore) -> None:
    for number, model in enumerate(["a", "b", "c"]):
        await store.create("tenant", f"id{number}", make_record(model=model, created_at=NOW + number))
    page = await store.list("tenant", frozenset({"a", "c"}), 10, None)
    assert [name for name, _ in page.sessions] == ["id2", "id0"]
    assert (await store.list("tenant", frozenset(), 10, None)).sessions == []
