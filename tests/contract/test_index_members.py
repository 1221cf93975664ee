"""Entries of an index that earlier versions wrote, beside those of this one."""

import asyncio
from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from store_support import NOW, Observed, eventually, make_record, stepped

from service.domain.models import VersionKey
from service.domain.sessions import IndexPosition, Record
from service.store import RedisStore, Topology
from service.store.worker_registry import RedisWorkerRegistry

pytestmark = [
    pytest.mark.parametrize("deployment", ["single", "sentinel", "cluster"], indirect=True, scope="session"),
]

#: Ids as the service issues them, in the order of their texts.
IDS = [
    "ses_2222222222222222222222222222222222222222",
    "ses_234567abcdefghijklmnopqrstuvwxyzabcdefgh",
    "ses_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ses_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
]
#: The entries of IDS at NOW: of earlier versions, and of this one.
EARLIER = [
    b"\x00\x00\x01\xba\x60\xd3\x38\x00ses_2222222222222222222222222222222222222222",
    b"\x00\x00\x01\xba\x60\xd3\x38\x00ses_234567abcdefghijklmnopqrstuvwxyzabcdefgh",
    b"\x00\x00\x01\xba\x60\xd3\x38\x00ses_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"\x00\x00\x01\xba\x60\xd3\x38\x00ses_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
]
COMPACT = [
    bytes.fromhex("800001ba60d33800ff00000000000000000000000000000000000000000000000000"),
    bytes.fromhex("800001ba60d33800ff00443214c74254b635cf84653a56d7c675be77df31d0952d8d"),
    bytes.fromhex("800001ba60d33800ff318c6318c6318c6318c6318c6318c6318c6318c6318c6318c6"),
    bytes.fromhex("800001ba60d33800ffffffffffffffffffffffffffffffffffffffffffffffffffff"),
]
#: The cursor that earlier versions returned after the session IDS[2] of NOW.
EARLIER_CURSOR = "AAABumDTOABzZXNfYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYQ"


class Entries:
    """The entries of the tenant's index in the store."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._sets = [f"{prefix}:{{index:tenant}}:created", f"{prefix}:{{index:tenant}}:expiry"]

    async def add_earlier(self, number: int, *, expired: bool = False) -> None:
        """Add the entry that an earlier version writes, which leaves any other in place."""
        created, expiry = self._sets
        await self._client.zadd(created, {EARLIER[number]: 0})
        await self._client.zadd(expiry, {EARLIER[number]: 1 if expired else NOW})

    async def replace_by_earlier(self, number: int, *, expired: bool = False) -> None:
        """Leave only the entry that an earlier version would have written."""
        for key in self._sets:
            assert await self._client.zrem(key, COMPACT[number]) == 1
        await self.add_earlier(number, expired=expired)

    async def read(self) -> list[bytes]:
        """Return the entries, which both sets must have."""
        created, expiry = [set(await self._client.zrange(key, 0, -1)) for key in self._sets]
        assert created == expiry
        return sorted(created)


@pytest.fixture
def entries(client: Redis, prefix: str) -> Entries:
    return Entries(client, prefix)


async def create_all(store: RedisStore) -> list[Record]:
    return [await store.create("tenant", name, make_record()) for name in IDS]


async def list_pages(store: RedisStore, limit: int, cursor: str | None = None) -> list[str]:
    """Return the sessions of all pages from the cursor on."""
    page = await store.list("tenant", None, limit, cursor)
    names = [name for name, _ in page.sessions]
    while page.cursor is not None:
        page = await store.list("tenant", None, limit, page.cursor)
        names += [name for name, _ in page.sessions]
    return names


async def test_entries_are_written_in_the_compact_form(store: RedisStore, entries: Entries) -> None:
    await create_all(store)
    assert await entries.read() == COMPACT


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("earlier", [(), (0,), (3,), (0, 2), (1, 3), (0, 1, 2, 3)])
async def test_sessions_of_one_millisecond_are_listed_in_one_order_in_whichever_form(
    store: RedisStore, entries: Entries, earlier: tuple[int, ...], limit: int
) -> None:
    await create_all(store)
    for number in earlier:
        await entries.replace_by_earlier(number)
    assert await list_pages(store, limit) == IDS[::-1]
    assert await list_pages(store, limit, EARLIER_CURSOR) == [IDS[1], IDS[0]]
    assert await store.active() == 4


async def test_newer_sessions_come_first_in_whichever_form(store: RedisStore, entries: Entries) -> None:
    await create_all(store)
    for number in range(4):
        await entries.replace_by_earlier(number)
    older, newer = "ses_" + "b" * 40, "ses_" + "c" * 40
    await store.create("tenant", older, make_record(created_at=NOW - 1))
    await store.create("tenant", newer, make_record(created_at=NOW + 1))
    for limit in (1, 2, 10):
        assert await list_pages(store, limit) == [newer, *IDS[::-1], older]


async def test_more_entries_of_both_forms_than_a_page_are_listed_once(
    make_store: Callable[..., RedisStore], client: Redis, prefix: str
) -> None:
    store = make_store(timeout=20.0)  # an entry that is not written in time is left out
    names = [
        f"ses_{'abcdefgh'[number // 32]}{'234567abcdefghijklmnopqrstuvwxyz'[number % 32] * 39}" for number in range(250)
    ]
    await asyncio.gather(*(store.create("tenant", name, make_record()) for name in names))
    key = f"{prefix}:{{index:tenant}}:created"
    compact = sorted(await client.zrange(key, 0, -1))
    await client.zrem(key, *compact[::2])
    await client.zadd(key, {EARLIER[0][:8] + name.encode(): 0 for name in sorted(names)[::2]})
    for limit in (7, 100, 1000):
        assert await list_pages(store, limit) == sorted(names, reverse=True)


async def test_an_entry_of_an_earlier_version_is_replaced_when_its_session_is_renewed(
    store: RedisStore, entries: Entries
) -> None:
    records = await create_all(store)
    for number in range(4):
        await entries.replace_by_earlier(number)
    await store.write("tenant", IDS[1], stepped(records[1], seconds=600))
    assert await entries.read() == [EARLIER[0], EARLIER[2], EARLIER[3], COMPACT[1]]
    assert await list_pages(store, 2) == IDS[::-1]
    assert await store.active() == 4


async def test_sessions_that_are_renewed_while_paging_are_listed_once(store: RedisStore, entries: Entries) -> None:
    records = await create_all(store)
    for number in range(4):
        await entries.replace_by_earlier(number)
    first = await store.list("tenant", None, 2, None)
    for name, record in zip(IDS, records, strict=True):
        await store.write("tenant", name, stepped(record, seconds=600))
    assert [name for name, _ in first.sessions] + await list_pages(store, 2, first.cursor) == IDS[::-1]


async def test_an_entry_of_an_earlier_version_goes_with_its_session(
    store: RedisStore, entries: Entries, client: Redis, prefix: str, observed: Observed
) -> None:
    await create_all(store)
    for number in range(3):
        await entries.replace_by_earlier(number)
    await store.end("tenant", IDS[0])
    assert await entries.read() == [EARLIER[1], EARLIER[2], COMPACT[3]]
    await client.delete(f"{prefix}:tenant:{{{IDS[1]}}}")
    assert await list_pages(store, 10) == [IDS[3], IDS[2]]
    assert await entries.read() == [EARLIER[2], COMPACT[3]]
    assert observed.ended == {"expired": 1}


async def test_an_entry_of_an_earlier_version_expires_and_is_counted_once(
    store: RedisStore, entries: Entries, observed: Observed
) -> None:
    await create_all(store)
    await entries.replace_by_earlier(0, expired=True)
    await entries.replace_by_earlier(1)
    assert await store.active() == 3
    assert await entries.read() == [EARLIER[1], COMPACT[2], COMPACT[3]]
    assert observed.ended == {"expired": 1}


async def test_a_session_that_an_earlier_version_renews_is_listed_and_counted_as_expired_once(
    store: RedisStore, entries: Entries, client: Redis, prefix: str, observed: Observed
) -> None:
    await create_all(store)
    for number in range(4):
        await entries.add_earlier(number)
    for limit in (1, 3, 10):
        assert await list_pages(store, limit) == IDS[::-1]
    await client.delete(f"{prefix}:tenant:{{{IDS[1]}}}")
    await store.end("tenant", IDS[3])
    assert await list_pages(store, 10) == [IDS[2], IDS[0]]
    assert await entries.read() == [EARLIER[0], EARLIER[2], COMPACT[0], COMPACT[2]]
    assert observed.ended["expired"] == 1


async def test_the_sessions_of_earlier_versions_are_dropped_first_beyond_the_bound(
    make_store: Callable[..., RedisStore], entries: Entries
) -> None:
    store = make_store(index_limit=4)
    await create_all(store)
    await entries.replace_by_earlier(2)
    await store.create("tenant", "ses_" + "b" * 40, make_record(created_at=NOW + 1))
    assert await list_pages(store, 10) == ["ses_" + "b" * 40, IDS[3], IDS[1], IDS[0]]


async def test_compact_entries_expire_by_themselves(store: RedisStore, entries: Entries, observed: Observed) -> None:
    await asyncio.gather(*(store.create("tenant", name, make_record(ttl_seconds=1)) for name in IDS))
    assert await entries.read() == COMPACT

    async def pruned() -> bool:
        return await store.active() == 0

    await eventually(pruned)
    assert observed.ended == {"expired": 4}


async def test_a_session_that_needs_a_version_is_found_in_whichever_form(
    store: RedisStore, topology: Topology, entries: Entries, prefix: str
) -> None:
    registry = RedisWorkerRegistry(topology, prefix=prefix, timeout=5.0, fresh=60.0)
    version_key = VersionKey("words", "1", make_record().fingerprint)
    await create_all(store)
    await entries.replace_by_earlier(1)
    await entries.replace_by_earlier(2)
    await entries.add_earlier(3)
    position = None
    for name in IDS:
        position = await registry.find_live_session(version_key, position)
        assert position == IndexPosition("tenant", NOW, name)
        await store.end("tenant", name)
    assert await registry.find_live_session(version_key, position) is None
    assert await entries.read() == []
