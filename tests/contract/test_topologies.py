"""Servers lost, replaced and resharded under sessions that go on: no acknowledged step is lost, none applied twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import count

import pytest
from journal import TENANT, all_step, stepping
from store_support import Observed, make_record, stepped

from service.domain.errors import StoreUnavailable
from service.store import RedisStore, connect, warnings
from tests.clusters import clustered, node_id, reshard, slot_of
from tests.deployments import (
    Deployment,
    eventually,
    is_master,
    is_replica,
    master_of,
    watched_by_sentinels,
)

TIMEOUT = 1.5


@pytest.fixture
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with watched_by_sentinels(tmp_path_factory.mktemp("sentinels"), replicas=2) as deployment:
        yield deployment


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with clustered(tmp_path_factory.mktemp("cluster"), replicas=1, node_timeout=2000) as deployment:
        yield deployment


@asynccontextmanager
async def store_on(deployment: Deployment) -> AsyncIterator[RedisStore]:
    async with aclosing(connect(deployment.url, TIMEOUT)) as topology:
        store = RedisStore(topology, Observed(), prefix="test", timeout=TIMEOUT)
        try:
            yield store
        finally:
            await store.aclose()


def sessions_on(master: int, wanted: int) -> list[str]:
    """Names of sessions that a cluster of three keeps on that master, as it is made."""
    names = (f"s{number}" for number in count())
    return [next(name for name in names if slot_of(name) * 3 // 16384 == master) for _ in range(wanted)]


def some_of_each() -> list[str]:
    return [name for master in range(3) for name in sessions_on(master, 2)]


async def test_a_master_that_is_lost_is_replaced_as_the_sentinels_say(sentinels: Deployment) -> None:
    lost, *others = sentinels.servers
    async with store_on(sentinels) as store:
        await store.secret()
        async with stepping(store, ["a", "b", "c"], "replicated") as journals:
            lost.kill()
            await asyncio.to_thread(master_of, others)
            await all_step(journals)
            # It comes back as the master that it was, and is told otherwise.
            await asyncio.to_thread(lost.start)
            await all_step(journals)
            await asyncio.to_thread(eventually, lambda: is_replica(lost))
            await all_step(journals)
        assert await store.share_secret() == await store.secret()


async def test_a_master_that_hangs_is_replaced_and_what_it_takes_afterwards_counts_for_nothing(
    sentinels: Deployment,
) -> None:
    hung, *others = sentinels.servers
    async with store_on(sentinels) as store, stepping(store, ["a", "b", "c"], "replicated") as journals:
        with hung.frozen():
            await asyncio.to_thread(master_of, others)
            await all_step(journals)
        await all_step(journals)


async def test_a_handover_that_the_sentinels_were_asked_for_loses_nothing(sentinels: Deployment) -> None:
    async with store_on(sentinels) as store, stepping(store, ["a", "b", "c"], "replicated") as journals:
        await asyncio.to_thread(sentinels.sentinels[0].ask, "SENTINEL", "FAILOVER", "main")
        await asyncio.to_thread(eventually, lambda: is_replica(sentinels.servers[0]))
        await all_step(journals)


async def test_a_sentinel_that_is_lost_is_not_needed(sentinels: Deployment) -> None:
    for sentinel in sentinels.sentinels[:2]:
        sentinel.kill()
    async with store_on(sentinels) as store:
        created = await store.create(TENANT, "id", make_record(durability="replicated"))
        assert (await store.write(TENANT, "id", stepped(created))).step == 1


async def test_without_any_sentinel_a_newcomer_is_told_within_its_time_that_nothing_was_applied(
    sentinels: Deployment,
) -> None:
    async with store_on(sentinels) as known:
        created = await known.create(TENANT, "id", make_record())
        for sentinel in sentinels.sentinels:
            sentinel.kill()
        assert (await known.write(TENANT, "id", stepped(created))).step == 1
        async with store_on(sentinels) as newcomer:
            with pytest.raises(StoreUnavailable) as refused:
                await newcomer.create(TENANT, "other", make_record())
            assert refused.value.applied == "no"


async def test_a_cluster_being_resharded_loses_no_step_and_applies_none_twice(cluster: Deployment) -> None:
    masters = cluster.servers[:3]
    names = some_of_each()
    async with store_on(cluster) as store, stepping(store, names, "replicated") as journals:
        for turn in (1, 2):
            for name in names:
                slot = slot_of(name)
                source = masters[(slot * 3 // 16384 + turn - 1) % 3]
                target = masters[(slot * 3 // 16384 + turn) % 3]
                await asyncio.to_thread(reshard, cluster.servers, [slot], source, target)
            await all_step(journals)
        # Redirections and waiting hide it all from clients that have the time.
        assert not [journal for journal in journals if journal.unclear or journal.refused]
        assert len((await store.list(TENANT, None, 100, None)).sessions) == len(names)


async def test_a_slot_that_is_halfway_serves_the_sessions_that_went_and_those_that_stay(cluster: Deployment) -> None:
    source, target = cluster.servers[:2]
    (stays,) = sessions_on(0, 1)
    same_slot = (name for number in count() if slot_of(name := f"{stays}-{number}") == slot_of(stays))
    goes, comes = next(same_slot), next(same_slot)
    async with store_on(cluster) as store:
        for name in (stays, goes):
            await store.create(TENANT, name, make_record(durability="replicated"))
        target.ask("CLUSTER", "SETSLOT", slot_of(stays), "IMPORTING", node_id(source))
        source.ask("CLUSTER", "SETSLOT", slot_of(stays), "MIGRATING", node_id(target))
        source.ask("MIGRATE", "127.0.0.1", target.port, f"test:{TENANT}:{{{goes}}}", 0, 5000)
        await store.create(TENANT, comes, make_record(durability="replicated"))
        for name in (stays, goes, comes):
            record = await store.read(TENANT, name)
            assert record is not None
            assert (await store.write(TENANT, name, stepped(record))).step == 1
        assert await store.end(TENANT, goes)
        assert await store.read(TENANT, "none") is None


async def test_a_master_of_a_cluster_that_is_lost_is_replaced_and_the_others_never_wait_for_it(
    cluster: Deployment,
) -> None:
    lost = cluster.servers[0]
    async with store_on(cluster) as store, stepping(store, some_of_each(), "replicated") as journals:
        lost.kill()
        await all_step(journals[2:], 20)
        await asyncio.to_thread(eventually, lambda: is_master(cluster.servers[3]))
        # It comes back as a replica of its successor: without one, nothing of its slots is replicated.
        await asyncio.to_thread(lost.start)
        await all_step(journals)
        assert is_replica(lost)


async def test_a_handover_within_a_cluster_loses_nothing(cluster: Deployment) -> None:
    async with store_on(cluster) as store, stepping(store, some_of_each(), "replicated") as journals:
        for replica in cluster.servers[3:]:
            await asyncio.to_thread(replica.ask, "CLUSTER", "FAILOVER")
            await asyncio.to_thread(eventually, lambda replica=replica: is_master(replica))
        await all_step(journals)


async def test_any_server_of_a_cluster_leads_to_all(cluster: Deployment) -> None:
    replica = cluster.servers[-1]
    cluster.url = f"redis+cluster://127.0.0.1:{replica.port},127.0.0.1:1"
    async with store_on(cluster) as store:
        await store.ping()
        for name in some_of_each():
            await store.create(TENANT, name, make_record(durability="fsynced"))
        assert await store.active() == 6


async def test_a_setting_of_any_master_is_warned_of(cluster: Deployment) -> None:
    cluster.servers[2].ask("CONFIG SET", "maxmemory-policy", "allkeys-lru")
    async with aclosing(connect(cluster.url)) as topology:
        (warning,) = await warnings(topology)
        assert "maxmemory-policy is allkeys-lru" in warning
    async with aclosing(connect(f"redis://127.0.0.1:{cluster.servers[0].port}")) as topology:
        assert any("expected redis+cluster://" in warning for warning in await warnings(topology))
