"""Listing and counting."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from store_support import NOW, Observed, eventually, make_record, stepped

from service.errors import InvalidRequest
from service.store import RedisStore

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("deployment", ["single", "sentinel", "cluster"], indirect=True, scope="session"),
]


async def names(store: RedisStore, limit: int, model: str | None = None) -> list[list[str]]:
    """All pages of a listing."""
    pages: list[list[str]] = []
    cursor = None
    while cursor is not None or not pages:
        page = await store.list("tenant", model, limit, cursor)
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
    for name in ("lives", "ended", "lost", "broken"):
        await store.create("tenant", name, make_record())
    await store.end("tenant", "ended")
    await client.delete(f"{prefix}:tenant:{{lost}}")
    await client.setrange(f"{prefix}:tenant:{{broken}}", 100, b"\xff\xff")
    assert await names(store, 10) == [["lives"]]
    assert await store.active() == 2  # the broken one is kept for inspection
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


async def test_most_steps_leave_the_index_alone_and_no_entry_ends_before_its_session(
    store: RedisStore, client: Redis, prefix: str
) -> None:
    expiry = f"{prefix}:{{index:tenant}}:expiry"
    record = await store.create("tenant", "id", make_record())
    entries = {await client.zscore(expiry, "id")}
    for _ in range(100):
        record = await store.write("tenant", "id", stepped(record, seconds=6))
        assert record.indexed_until >= record.expires_at
        entries.add(await client.zscore(expiry, "id"))
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
