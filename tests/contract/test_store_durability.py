"""Durability levels: waited for on the connection of the write, counted, and told when they are missed."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from store_support import await_replicas, follow, listen, make_client, make_record, process_of, stepped

from service.domain.errors import DurabilityNotReached, WriteConflict
from service.domain.sessions import Record
from service.store import EmbeddedServer, RedisStore
from service.store.driver.commands import Reply
from service.store.driver.durability import DurabilityResult, Fsynced, Replicated
from service.store.driver.topology import ReplicaCount

Start = Callable[[str], EmbeddedServer]
Connect = Callable[[str], RedisStore]


async def test_fsynced_is_reached_on_a_server_with_an_append_only_file(store: RedisStore) -> None:
    created = await store.create("tenant", "id", make_record(durability="fsynced"))
    written = await store.write("tenant", "id", stepped(created))
    assert written.step == 1
    await store.confirm("tenant", "id", written)
    with pytest.raises(WriteConflict):
        await store.confirm("tenant", "id", created)


async def test_a_session_in_memory_does_not_wait_for_the_disk_of_another(store: RedisStore) -> None:
    slow = asyncio.create_task(store.create("tenant", "slow", make_record(durability="fsynced")))
    await store.create("tenant", "fast", make_record())
    assert not slow.done()
    await slow


async def test_fsynced_is_missed_without_an_append_only_file(
    start_server: Start, connected: Connect, client: Redis
) -> None:
    server = start_server("plain")
    store = connected(server.url)
    async with make_client(server.url) as admin:
        await admin.config_set("appendonly", "no")
    created = await store.create("tenant", "id", make_record())
    with pytest.raises(DurabilityNotReached) as missed:
        await store.create("tenant", "other", make_record(durability="fsynced"))
    assert (missed.value.applied, missed.value.step) == ("yes", 0)
    other = await store.read("tenant", "other")
    assert other is not None
    with pytest.raises(DurabilityNotReached):
        await store.confirm("tenant", "other", other)
    assert (await store.write("tenant", "id", stepped(created))).step == 1


async def write_one(store: RedisStore, record: Record) -> None:
    with pytest.raises(DurabilityNotReached):
        await store.write("tenant", "id", record)


async def write_as_one_of_many(store: RedisStore, record: Record) -> None:
    (result,) = await store.write_many([(("tenant", "id"), record)])
    assert isinstance(result, DurabilityNotReached)


@pytest.mark.parametrize("write", [write_one, write_as_one_of_many])
async def test_a_write_that_is_not_durable_enough_extends_its_index_entry(
    store: RedisStore, client: Redis, prefix: str, write: Callable[[RedisStore, Record], Awaitable[None]]
) -> None:
    with pytest.raises(DurabilityNotReached):
        await store.create("tenant", "id", make_record(durability="replicated"))
    created = await store.read("tenant", "id")
    assert created is not None
    key = f"{prefix}:{{index:tenant}}:expiry"
    ((_, before),) = await client.zrange(key, 0, -1, withscores=True)
    longer = 10 * created.ttl_seconds
    await write(store, replace(stepped(created), ttl_seconds=longer, expires_at=created.expires_at + 1000 * longer))
    await store.aclose()
    ((_, after),) = await client.zrange(key, 0, -1, withscores=True)
    assert after - before > 1000 * created.ttl_seconds


async def test_replicated_is_missed_without_a_replica_and_the_write_is_there(store: RedisStore) -> None:
    with pytest.raises(DurabilityNotReached):
        await store.create("tenant", "id", make_record(durability="replicated"))
    created = await store.read("tenant", "id")
    assert created is not None
    with pytest.raises(DurabilityNotReached) as missed:
        await store.write("tenant", "id", stepped(created))
    assert (missed.value.applied, missed.value.step) == ("yes", 1)
    record = await store.read("tenant", "id")
    assert record is not None
    assert record.step == 1
    assert [name for name, _ in (await store.list("tenant", None, 10, None)).sessions] == ["id"]
    with pytest.raises(DurabilityNotReached):
        await store.confirm("tenant", "id", record)


async def test_replicated_is_reached_by_real_replicas_as_they_come_and_go(
    start_server: Start, connected: Connect
) -> None:
    master, first, second = (start_server(name) for name in ("master", "first", "second"))
    store = connected(master.url)
    with pytest.raises(DurabilityNotReached):
        await store.create("tenant", "early", make_record(durability="replicated"))
    port = await listen(master)
    for count, replica in enumerate((first, second), start=1):
        await follow(replica, port)
        await await_replicas(master, count)
        record = await store.create("tenant", f"id{count}", make_record(durability="replicated"))
        async with make_client(replica.url) as reader:
            assert await reader.get(f"test:tenant:{{id{count}}}") is not None
        written = await store.write("tenant", f"id{count}", stepped(record))
        assert written.step == 1
        await store.confirm("tenant", f"id{count}", written)
    second.stop()
    await await_replicas(master, 1)
    assert (await store.create("tenant", "late", make_record(durability="replicated"))).step == 0


async def test_replicas_that_are_late_are_counted_whenever_the_server_ends_its_wait(
    start_server: Start, connected: Connect
) -> None:
    master, replica = start_server("master"), start_server("replica")
    store = connected(master.url)
    await follow(replica, await listen(master))
    await await_replicas(master, 1)
    await store.create("tenant", "early", make_record(durability="replicated"))
    async with make_client(master.url) as admin:
        await admin.config_set("hz", 7)  # its timer runs every 143 ms: that much later it notices that a wait is over
    process = await process_of(replica)
    os.kill(process, signal.SIGSTOP)
    try:
        for number in range(4):
            await asyncio.sleep(0.053 * number)
            with pytest.raises(DurabilityNotReached, match="0 replicas confirmed the write in time, expected 1"):
                await store.create("tenant", f"id{number}", make_record(durability="replicated"))
    finally:
        os.kill(process, signal.SIGCONT)


UNKNOWN = ResponseError("unknown command 'WAITAOF', with args beginning with: '1' '0'")


@pytest.mark.parametrize(
    ("appendfsync", "reached"),
    [(b"always", True), (b"everysec", False)],
)
def test_of_a_server_without_waitaof_only_a_file_that_is_always_synced_counts(
    appendfsync: bytes, reached: bool
) -> None:
    level = Fsynced()
    assert level.evaluate(level.commands(100), [UNKNOWN], ReplicaCount()).retry
    waits = level.commands(100)
    config: Reply = [b"appendonly", b"yes", b"appendfsync", appendfsync]
    assert (level.evaluate(waits, [UNKNOWN, config], ReplicaCount()).failure_reason is None) is reached


@pytest.mark.parametrize("counts", [[0, 0], ResponseError("WAITAOF cannot be used"), Exception("lost")])
def test_a_disk_that_did_not_confirm_is_told(counts: Reply) -> None:
    level = Fsynced()
    assert level.evaluate(level.commands(100), [counts], ReplicaCount()).failure_reason


def test_all_connected_replicas_must_confirm() -> None:
    level = Replicated()
    role: Reply = [b"master", 7, [[b"a", b"1", b"7"], [b"b", b"1", b"7"]]]
    assert level.evaluate(level.commands(100), [1, role], ReplicaCount()).retry
    assert level.commands(100)[0] == ("WAIT", 2, 100)
    assert level.evaluate(level.commands(100), [1, role], ReplicaCount()) == DurabilityResult(
        "1 replicas confirmed the write in time, expected 2"
    )
    assert level.evaluate(level.commands(100), [2, role], ReplicaCount()) == DurabilityResult()
    assert level.evaluate(level.commands(100), [Exception("lost"), Exception("lost")], ReplicaCount()).failure_reason


def test_a_replica_that_leaves_counts_until_a_new_look_at_the_servers() -> None:
    level = Replicated()
    both_replicas: Reply = [b"master", 7, [[b"a", b"1", b"7"], [b"b", b"1", b"7"]]]
    one_replica: Reply = [b"master", 7, [[b"a", b"1", b"7"]]]
    assert not level.evaluate(level.commands(100), [2, both_replicas], ReplicaCount(refreshes=1)).failure_reason
    left = level.evaluate(level.commands(100), [1, one_replica], ReplicaCount(refreshes=1))
    assert left.failure_reason
    assert left.retry
    assert not level.evaluate(level.commands(100), [1, one_replica], ReplicaCount(refreshes=2)).failure_reason


def test_a_replica_that_may_be_promoted_must_confirm_though_it_has_left() -> None:
    level = Replicated()
    one_replica: Reply = [b"master", 7, [[b"a", b"1", b"7"]]]
    assert level.evaluate(level.commands(100), [1, one_replica], ReplicaCount(replicas=2)).failure_reason
    assert not level.evaluate(level.commands(100), [1, one_replica], ReplicaCount(replicas=1)).failure_reason
