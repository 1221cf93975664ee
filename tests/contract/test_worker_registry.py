"""Worker registry: the versions that each worker serves, and the scan for a session that needs one of them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from store_support import NOW, WAIT_SECONDS, eventually, make_record, stepped

from service.domain.models import RetirementMark, ServedVersion, VersionKey
from service.domain.sessions import IndexPosition
from service.store import RedisStore, Topology
from service.store.worker_registry import RedisWorkerRegistry

pytestmark = [
    pytest.mark.parametrize("deployment", ["single", "cluster"], indirect=True, scope="session"),
]

FINGERPRINT = make_record().fingerprint
EDITION = VersionKey("words", "1", FINGERPRINT)
OTHER = VersionKey("wörds/{2}", "2", "cd" * 32)

MakeRegistry = Callable[..., RedisWorkerRegistry]


@pytest.fixture
def make_registry(topology: Topology, prefix: str) -> MakeRegistry:
    """Makes the registries of several workers."""

    def make(fresh: float = 60.0, **options: int) -> RedisWorkerRegistry:
        return RedisWorkerRegistry(topology, prefix=prefix, timeout=WAIT_SECONDS, fresh=fresh, **options)

    return make


@pytest.fixture
def registry(make_registry: MakeRegistry) -> RedisWorkerRegistry:
    return make_registry()


async def test_each_worker_hears_what_all_serve(make_registry: MakeRegistry) -> None:
    worker_a, worker_b = make_registry(), make_registry()
    await worker_a.heartbeat([ServedVersion(EDITION, accepts_sessions=True)])
    served = [
        ServedVersion(EDITION, accepts_sessions=False, recently_used=True),
        ServedVersion(OTHER, accepts_sessions=True),
    ]
    view = await worker_b.heartbeat(served)
    assert view.workers == {
        worker_a.worker: (ServedVersion(EDITION, accepts_sessions=True),),
        worker_b.worker: tuple(served),
    }
    assert (await worker_a.heartbeat([])).workers == {worker_a.worker: (), worker_b.worker: tuple(served)}


async def test_who_only_hears_says_nothing_of_itself_and_takes_nothing_back(make_registry: MakeRegistry) -> None:
    worker_a, worker_b = make_registry(), make_registry()
    served = (ServedVersion(EDITION, accepts_sessions=True, recently_used=True),)
    await worker_a.heartbeat(served)
    await worker_a.mark_retiring(OTHER, RetirementMark(100, "removed"))
    for registry in (worker_a, worker_b):
        view = await registry.view()
        assert (view.workers, view.marks) == ({worker_a.worker: served}, {OTHER: RetirementMark(100, "removed")})
        assert abs(view.now - time.time() * 1000) < 60_000


async def test_a_worker_that_left_is_heard_of_no_more(make_registry: MakeRegistry) -> None:
    worker_a, worker_b = make_registry(), make_registry()
    await worker_a.heartbeat([ServedVersion(EDITION, accepts_sessions=True)])
    await worker_a.deregister()
    assert (await worker_b.heartbeat([])).workers == {worker_b.worker: ()}


async def test_a_worker_that_says_nothing_for_long_is_heard_of_no_more(make_registry: MakeRegistry) -> None:
    silent, registry = make_registry(), make_registry(fresh=0.05)
    await silent.heartbeat([ServedVersion(EDITION, accepts_sessions=True)])

    async def alone() -> bool:
        return set((await registry.heartbeat([])).workers) == {registry.worker}

    await eventually(alone)


async def test_the_time_is_that_of_the_store(registry: RedisWorkerRegistry) -> None:
    times = [(await registry.heartbeat([])).now for _ in range(3)]
    assert times == sorted(times)
    assert abs(times[0] - time.time() * 1000) < 60_000


async def test_the_first_mark_stands_until_it_is_taken_back(make_registry: MakeRegistry) -> None:
    worker_a, worker_b = make_registry(), make_registry()
    await worker_a.mark_retiring(EDITION, RetirementMark(100, "superseded", "files"))
    await worker_b.mark_retiring(EDITION, RetirementMark(200, "removed"))
    await worker_b.mark_retiring(OTHER, RetirementMark(300, "removed"))
    marks = (await worker_b.heartbeat([])).marks
    assert marks == {EDITION: RetirementMark(100, "superseded", "files"), OTHER: RetirementMark(300, "removed")}
    await worker_a.unmark_retiring(EDITION)
    assert (await worker_b.heartbeat([])).marks == {OTHER: RetirementMark(300, "removed")}


async def test_all_workers_know_which_models_are_unloaded(make_registry: MakeRegistry) -> None:
    worker_a, worker_b = make_registry(), make_registry()
    for model in ("words", "wörds/{2}", "words"):
        await worker_a.mark_unloaded(model)
    assert (await worker_b.view()).unloaded == {"words", "wörds/{2}"}
    await worker_b.unmark_unloaded("words")
    await worker_b.unmark_unloaded("nothing")
    assert (await worker_a.heartbeat([])).unloaded == {"wörds/{2}"}


async def test_a_drained_mark_replaces_the_one_before(registry: RedisWorkerRegistry) -> None:
    mark = RetirementMark(100, "superseded", "files")
    await registry.mark_retiring(EDITION, mark)
    await registry.mark_retiring(EDITION, replace(mark, drained=True))
    assert (await registry.heartbeat([])).marks == {EDITION: RetirementMark(100, "superseded", "files", drained=True)}


async def fill(store: RedisStore, tenant: str, count: int, **changes: object) -> None:
    """Sessions that do not need EDITION."""
    other = {"fingerprint": OTHER.fingerprint, **changes}
    records = {f"{tenant}{number}": make_record(created_at=NOW + number // 3, **other) for number in range(count)}
    await asyncio.gather(*(store.create(tenant, name, record) for name, record in records.items()))


async def test_without_a_session_on_it_nothing_is_found(store: RedisStore, registry: RedisWorkerRegistry) -> None:
    assert await registry.find_live_session(EDITION, None) is None
    await fill(store, "a", 250)
    await fill(store, "b", 3, version="2", fingerprint=FINGERPRINT)
    assert await registry.find_live_session(EDITION, None) is None


async def test_a_session_on_it_is_found_among_all_tenants_and_lets_go_when_it_ends(
    store: RedisStore, registry: RedisWorkerRegistry
) -> None:
    await fill(store, "a", 120)
    await fill(store, "c", 120)
    await store.create("c", "first", make_record(created_at=NOW + 10))
    await store.create("c", "second", make_record(created_at=NOW + 10))
    await store.create("d", "third", make_record(created_at=NOW))
    position = await registry.find_live_session(EDITION, None)
    assert position == IndexPosition("c", NOW + 10, "first")
    assert await registry.find_live_session(EDITION, position) == position
    await store.end("c", "first")
    assert await registry.find_live_session(EDITION, position) == IndexPosition("c", NOW + 10, "second")
    await store.end("c", "second")
    position = await registry.find_live_session(EDITION, position)
    assert position == IndexPosition("d", NOW, "third")
    await store.end("d", "third")
    assert await registry.find_live_session(EDITION, position) is None


async def test_a_session_goes_on_being_found_while_it_moves(store: RedisStore, registry: RedisWorkerRegistry) -> None:
    record = await store.create("a", "moves", make_record(created_at=NOW))
    position = await registry.find_live_session(EDITION, None)
    await store.write("a", "moves", stepped(record))
    assert await registry.find_live_session(EDITION, position) == position == IndexPosition("a", NOW, "moves")


async def test_a_fork_stands_behind_the_session_that_it_was_made_of(
    store: RedisStore, registry: RedisWorkerRegistry
) -> None:
    await store.create("a", "parent", make_record(created_at=NOW))
    position = await registry.find_live_session(EDITION, None)
    await store.create("a", "fork", make_record(created_at=NOW + 5))
    await store.end("a", "parent")
    assert await registry.find_live_session(EDITION, position) == IndexPosition("a", NOW + 5, "fork")


async def test_expired_and_unreadable_sessions_need_nothing(
    store: RedisStore, registry: RedisWorkerRegistry, client: Redis, prefix: str
) -> None:
    for name in ("lost", "broken"):
        await store.create("a", name, make_record())
    await client.delete(f"{prefix}:a:{{lost}}")
    await client.setrange(f"{prefix}:a:{{broken}}", 20, b"\xff\xff")
    assert await registry.find_live_session(EDITION, None) is None


async def test_a_long_search_rests_and_goes_on(store: RedisStore, make_registry: MakeRegistry) -> None:
    registry = make_registry(pages=2)
    await fill(store, "a", 450)
    await fill(store, "b", 450)
    await store.create("b", "last", make_record(created_at=NOW + 1000))
    place, rests = await registry.find_live_session(EDITION, None), 0
    while place is not None and place.session_id != "last":
        after = await registry.find_live_session(EDITION, place)
        assert after is not None
        assert after > place
        place, rests = after, rests + 1
    assert place == IndexPosition("b", NOW + 1000, "last")
    assert rests >= 3
