"""What workers tell each other of the versions they serve, and the search for a session that needs one."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from store_support import NOW, eventually, make_record, stepped

from service.domain.models import RetirementMark, ServedVersion, VersionKey
from service.domain.sessions import IndexPosition
from service.store import RedisStore, Topology
from service.store.worker_registry import RedisWorkerRegistry

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("deployment", ["single", "cluster"], indirect=True, scope="session"),
]

FINGERPRINT = make_record().fingerprint
EDITION = VersionKey("words", "1", FINGERPRINT)
OTHER = VersionKey("wörds/{2}", "2", "cd" * 32)

MakeFleet = Callable[..., RedisWorkerRegistry]


@pytest.fixture
def make_fleet(topology: Topology, prefix: str) -> MakeFleet:
    """Makes the ends of several workers."""

    def make(fresh: float = 60.0, **options: int) -> RedisWorkerRegistry:
        return RedisWorkerRegistry(topology, prefix=prefix, timeout=5.0, fresh=fresh, **options)

    return make


@pytest.fixture
def fleet(make_fleet: MakeFleet) -> RedisWorkerRegistry:
    return make_fleet()


async def test_each_worker_hears_what_all_serve(make_fleet: MakeFleet) -> None:
    one, two = make_fleet(), make_fleet()
    await one.heartbeat([ServedVersion(EDITION, open=True)])
    served = [ServedVersion(EDITION, open=False, touched=True), ServedVersion(OTHER, open=True)]
    meeting = await two.heartbeat(served)
    assert meeting.workers == {one.worker: (ServedVersion(EDITION, open=True),), two.worker: tuple(served)}
    assert (await one.heartbeat([])).workers == {one.worker: (), two.worker: tuple(served)}


async def test_who_only_hears_says_nothing_of_itself_and_takes_nothing_back(make_fleet: MakeFleet) -> None:
    one, two = make_fleet(), make_fleet()
    served = (ServedVersion(EDITION, open=True, touched=True),)
    await one.heartbeat(served)
    await one.mark_retiring(OTHER, RetirementMark(100, "removed"))
    for fleet in (one, two):
        meeting = await fleet.view()
        assert (meeting.workers, meeting.marks) == ({one.worker: served}, {OTHER: RetirementMark(100, "removed")})
        assert abs(meeting.now - time.time() * 1000) < 60_000


async def test_a_worker_that_left_is_heard_of_no_more(make_fleet: MakeFleet) -> None:
    one, two = make_fleet(), make_fleet()
    await one.heartbeat([ServedVersion(EDITION, open=True)])
    await one.deregister()
    assert (await two.heartbeat([])).workers == {two.worker: ()}


async def test_a_worker_that_says_nothing_for_long_is_heard_of_no_more(make_fleet: MakeFleet) -> None:
    silent, fleet = make_fleet(), make_fleet(fresh=0.05)
    await silent.heartbeat([ServedVersion(EDITION, open=True)])

    async def alone() -> bool:
        return set((await fleet.heartbeat([])).workers) == {fleet.worker}

    await eventually(alone)


async def test_the_time_is_that_of_the_store(fleet: RedisWorkerRegistry) -> None:
    times = [(await fleet.heartbeat([])).now for _ in range(3)]
    assert times == sorted(times)
    assert abs(times[0] - time.time() * 1000) < 60_000


async def test_the_first_mark_stands_until_it_is_taken_back(make_fleet: MakeFleet) -> None:
    one, two = make_fleet(), make_fleet()
    await one.mark_retiring(EDITION, RetirementMark(100, "superseded", "files"))
    await two.mark_retiring(EDITION, RetirementMark(200, "removed"))
    await two.mark_retiring(OTHER, RetirementMark(300, "removed"))
    marks = (await two.heartbeat([])).marks
    assert marks == {EDITION: RetirementMark(100, "superseded", "files"), OTHER: RetirementMark(300, "removed")}
    await one.unmark_retiring(EDITION)
    assert (await two.heartbeat([])).marks == {OTHER: RetirementMark(300, "removed")}


async def test_a_drained_mark_replaces_the_one_before(fleet: RedisWorkerRegistry) -> None:
    mark = RetirementMark(100, "superseded", "files")
    await fleet.mark_retiring(EDITION, mark)
    await fleet.mark_retiring(EDITION, replace(mark, drained=True))
    assert (await fleet.heartbeat([])).marks == {EDITION: RetirementMark(100, "superseded", "files", drained=True)}


async def fill(store: RedisStore, tenant: str, count: int, **changes: object) -> None:
    """Sessions that do not need EDITION."""
    other = {"fingerprint": OTHER.fingerprint, **changes}
    records = {f"{tenant}{number}": make_record(created_at=NOW + number // 3, **other) for number in range(count)}
    await asyncio.gather(*(store.create(tenant, name, record) for name, record in records.items()))


async def test_without_a_session_on_it_nothing_is_found(store: RedisStore, fleet: RedisWorkerRegistry) -> None:
    assert await fleet.find_live_session(EDITION, None) is None
    await fill(store, "a", 250)
    await fill(store, "b", 3, version="2", fingerprint=FINGERPRINT)
    assert await fleet.find_live_session(EDITION, None) is None


async def test_a_session_on_it_is_found_among_all_tenants_and_lets_go_when_it_ends(
    store: RedisStore, fleet: RedisWorkerRegistry
) -> None:
    await fill(store, "a", 120)
    await fill(store, "c", 120)
    await store.create("c", "first", make_record(created_at=NOW + 10))
    await store.create("c", "second", make_record(created_at=NOW + 10))
    await store.create("d", "third", make_record(created_at=NOW))
    found = await fleet.find_live_session(EDITION, None)
    assert found == IndexPosition("c", NOW + 10, "first")
    assert await fleet.find_live_session(EDITION, found) == found
    await store.end("c", "first")
    assert await fleet.find_live_session(EDITION, found) == IndexPosition("c", NOW + 10, "second")
    await store.end("c", "second")
    found = await fleet.find_live_session(EDITION, found)
    assert found == IndexPosition("d", NOW, "third")
    await store.end("d", "third")
    assert await fleet.find_live_session(EDITION, found) is None


async def test_a_session_goes_on_being_found_while_it_moves(store: RedisStore, fleet: RedisWorkerRegistry) -> None:
    record = await store.create("a", "moves", make_record(created_at=NOW))
    found = await fleet.find_live_session(EDITION, None)
    await store.write("a", "moves", stepped(record))
    assert await fleet.find_live_session(EDITION, found) == found == IndexPosition("a", NOW, "moves")


async def test_a_fork_stands_behind_the_session_that_it_was_made_of(
    store: RedisStore, fleet: RedisWorkerRegistry
) -> None:
    await store.create("a", "parent", make_record(created_at=NOW))
    found = await fleet.find_live_session(EDITION, None)
    await store.create("a", "fork", make_record(created_at=NOW + 5))
    await store.end("a", "parent")
    assert await fleet.find_live_session(EDITION, found) == IndexPosition("a", NOW + 5, "fork")


async def test_expired_and_unreadable_sessions_need_nothing(
    store: RedisStore, fleet: RedisWorkerRegistry, client: Redis, prefix: str
) -> None:
    for name in ("lost", "broken"):
        await store.create("a", name, make_record())
    await client.delete(f"{prefix}:a:{{lost}}")
    await client.setrange(f"{prefix}:a:{{broken}}", 20, b"\xff\xff")
    assert await fleet.find_live_session(EDITION, None) is None


async def test_a_long_search_rests_and_goes_on(store: RedisStore, make_fleet: MakeFleet) -> None:
    fleet = make_fleet(pages=2)
    await fill(store, "a", 450)
    await fill(store, "b", 450)
    await store.create("b", "last", make_record(created_at=NOW + 1000))
    place, rests = await fleet.find_live_session(EDITION, None), 0
    while place is not None and place.session_id != "last":
        after = await fleet.find_live_session(EDITION, place)
        assert after is not None
        assert after > place
        place, rests = after, rests + 1
    assert place == IndexPosition("b", NOW + 1000, "last")
    assert rests >= 3
