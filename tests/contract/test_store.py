"""Records: read, created, written by compare-and-set, ended."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from store_support import Observed, eventually, make_record, stepped

from service.domain.errors import SessionEnded, StateCorrupted, WriteConflict
from service.domain.sessions import KeptStep, LastStep, Record
from service.store import RedisStore
from service.store.record.codec import HEADER_BYTES

Make = Callable[..., RedisStore]
pytestmark = [
    pytest.mark.parametrize("deployment", ["single", "sentinel", "cluster"], indirect=True, scope="session"),
]


async def test_a_created_record_is_read_back_whole(store: RedisStore) -> None:
    record = make_record(
        origin=b"o" * 16,
        keys=(b"k" * 16, b"l" * 16),
        last=LastStep(step=0, key_digest=b"k" * 16, body_digest=b"b" * 16, answer=b'{"step": 1}'),
        kept=(KeptStep(step=0, timesteps=0, state=b"earlier"),),
        kept_steps=1,
    )
    created = await store.create("tenant", "id", record)
    assert await store.read("tenant", "id") == created
    assert replace(created, token=b"", indexed_until=0) == record


async def test_an_unknown_session_has_no_record(store: RedisStore) -> None:
    assert await store.read("tenant", "id") is None


async def test_create_returns_the_record_that_is_there(store: RedisStore) -> None:
    first = await store.create("tenant", "id", make_record(state=b"first"))
    assert await store.create("tenant", "id", make_record(state=b"second")) == first


async def test_of_creators_that_race_all_get_the_same_record(store: RedisStore) -> None:
    records = [make_record(state=bytes([number])) for number in range(20)]
    created = await asyncio.gather(*(store.create("tenant", "id", record) for record in records))
    assert len({record.token for record in created}) == 1


async def test_a_write_replaces_the_record_and_gives_it_a_new_token(store: RedisStore) -> None:
    created = await store.create("tenant", "id", make_record())
    written = await store.write("tenant", "id", stepped(created))
    assert written.step == 1
    assert written.token != created.token
    assert await store.read("tenant", "id") == written


async def test_a_record_is_held_ready_until_another_worker_writes_it(
    store: RedisStore, observed: Observed, make_store: Make
) -> None:
    created = await store.create("tenant", "id", make_record())
    assert await store.read("tenant", "id") == created
    written = await store.write("tenant", "id", stepped(created))
    assert await store.read("tenant", "id") == written
    elsewhere = await make_store().write("tenant", "id", stepped(written))
    assert await store.read("tenant", "id") == elsewhere
    assert await store.read("tenant", "id") == elsewhere
    assert observed.cache == ["miss", "hit", "miss", "hit"]


async def test_a_staying_session_is_written_unread_and_never_over_anything_else(
    store: RedisStore, observed: Observed, make_store: Make, client: Redis, prefix: str
) -> None:
    await store.create("tenant", "id", make_record())
    assert store.cached("tenant", "id") is None
    first = await store.read("tenant", "id")
    assert first is not None
    for _ in range(2):
        recent = store.cached("tenant", "id")
        assert recent is not None
        first = await store.write("tenant", "id", stepped(recent))
    assert await store.read("tenant", "id") == first
    recent = store.cached("tenant", "id")
    assert recent is not None
    await make_store().write("tenant", "id", stepped(first))
    with pytest.raises(WriteConflict):
        await store.write("tenant", "id", stepped(recent))
    assert store.cached("tenant", "id") is None
    assert observed.cache == ["miss", "hit", "hit", "hit", "hit", "stale"]


async def advance(store: RedisStore) -> list[str]:
    """Apply a step as the pipeline does, from the cached record if there is one; return what it took."""
    taken: list[str] = []
    while True:
        record = store.cached("tenant", "id") if not taken else None
        if record is None:
            taken.append("read")
            record = await store.read("tenant", "id")
        assert record is not None
        try:
            await store.write("tenant", "id", stepped(record))
        except WriteConflict:
            taken.append("wasted")
        else:
            return taken


async def test_a_moving_session_wastes_one_step_of_each_worker_and_a_staying_one_is_not_read(
    store: RedisStore, make_store: Make
) -> None:
    await store.create("tenant", "id", make_record())
    workers = (store, make_store())
    moving = [await advance(workers[turn % 2]) for turn in range(10)]
    assert moving == [["read"], ["read"], ["wasted", "read"], ["wasted", "read"], *[["read"]] * 6]
    staying = [await advance(store) for _ in range(4)]
    assert staying == [["read"], ["read"], [], []]


async def test_an_ended_session_is_not_kept_in_memory(store: RedisStore, client: Redis, prefix: str) -> None:
    for ending in ("here", "expired"):
        await store.create("tenant", ending, make_record())
        await store.read("tenant", ending)
        assert store.cached("tenant", ending) is not None
        if ending == "here":
            assert await store.end("tenant", ending)
        else:
            await client.delete(f"{prefix}:tenant:{{{ending}}}")
            assert await store.read("tenant", ending) is None
        assert store.cached("tenant", ending) is None


async def test_damage_that_leaves_the_header_is_noticed_unread(store: RedisStore, client: Redis, prefix: str) -> None:
    await store.create("tenant", "id", make_record())
    await store.read("tenant", "id")
    recent = store.cached("tenant", "id")
    assert recent is not None
    key = f"{prefix}:tenant:{{id}}"
    await client.setrange(key, HEADER_BYTES + 40, b"?")
    damaged = await client.get(key)
    with pytest.raises(WriteConflict):
        await store.write("tenant", "id", stepped(recent))
    assert await client.get(key) == damaged
    with pytest.raises(StateCorrupted):
        await store.read("tenant", "id")


async def test_of_writers_that_race_exactly_one_wins(store: RedisStore, make_store: Make) -> None:
    other = make_store()
    created = await store.create("tenant", "id", make_record())
    writes = [who.write("tenant", "id", replace(stepped(created), state=b"x")) for who in (store, other) * 20]
    results = await asyncio.gather(*writes, return_exceptions=True)
    winners = [result for result in results if isinstance(result, Record)]
    assert len(winners) == 1
    assert sum(isinstance(result, WriteConflict) for result in results) == 39
    assert await store.read("tenant", "id") == winners[0]


async def test_a_writer_from_before_a_rollback_gets_a_conflict(store: RedisStore, client: Redis, prefix: str) -> None:
    key = f"{prefix}:tenant:{{id}}"
    created = await store.create("tenant", "id", make_record())
    before = await client.get(key)
    lost = await store.write("tenant", "id", stepped(created))
    await client.set(key, before, ex=600)
    # The same step with the same content once more: only the nonce tells it from the one that was lost.
    await store.write("tenant", "id", stepped(created))
    with pytest.raises(WriteConflict):
        await store.write("tenant", "id", stepped(lost))


async def test_a_write_to_a_record_that_is_gone_conflicts_and_does_not_revive_it(
    store: RedisStore, client: Redis, prefix: str
) -> None:
    created = await store.create("tenant", "id", make_record())
    await client.delete(f"{prefix}:tenant:{{id}}")
    with pytest.raises(WriteConflict, match="missing"):
        await store.write("tenant", "id", stepped(created))
    assert await store.read("tenant", "id") is None


async def test_a_write_without_a_token_is_a_conflict(store: RedisStore) -> None:
    with pytest.raises(WriteConflict):
        await store.write("tenant", "id", make_record())
    assert await store.read("tenant", "id") is None


async def test_scripts_that_the_server_forgot_are_loaded_again(store: RedisStore, client: Redis) -> None:
    created = await store.create("tenant", "id", make_record())
    await client.script_flush()
    writes = [store.write("tenant", "id", stepped(created)), store.create("tenant", "new", make_record())]
    written, _ = await asyncio.gather(*writes)
    await client.script_flush()
    assert await store.end("tenant", "id")
    assert written.step == 1
    assert await store.active() == 1


async def test_a_record_expires_with_its_ttl_and_a_write_renews_it(
    store: RedisStore, client: Redis, prefix: str
) -> None:
    created = await store.create("tenant", "id", make_record(ttl_seconds=1))

    async def expired() -> bool:
        return await store.read("tenant", "id") is None

    renewed = await store.write("tenant", "id", replace(stepped(created), ttl_seconds=600))
    assert 590_000 < await client.pttl(f"{prefix}:tenant:{{id}}") <= 600_000
    await store.write("tenant", "id", replace(stepped(renewed), ttl_seconds=1))
    await eventually(expired)


async def test_an_ended_session_leaves_a_tombstone_for_a_day(store: RedisStore, client: Redis, prefix: str) -> None:
    created = await store.create("tenant", "id", make_record())
    assert await store.end("tenant", "id")
    with pytest.raises(SessionEnded, match="ended by its client at"):
        await store.read("tenant", "id")
    with pytest.raises(SessionEnded):
        await store.create("tenant", "id", make_record())
    with pytest.raises(SessionEnded):
        await store.end("tenant", "id")
    with pytest.raises(WriteConflict, match="ended"):
        await store.write("tenant", "id", stepped(created))
    assert 86_000 < await client.ttl(f"{prefix}:tenant:{{id}}") <= 86_400


async def test_a_session_that_never_was_cannot_be_ended(store: RedisStore) -> None:
    assert not await store.end("tenant", "id")


async def test_a_corrupted_record_is_told_and_kept(store: RedisStore, client: Redis, prefix: str) -> None:
    key = f"{prefix}:tenant:{{id}}"
    await store.create("tenant", "id", make_record())
    await client.setrange(key, 100, b"\xff\xff")
    kept = await client.get(key)
    with pytest.raises(StateCorrupted, match="checksum"):
        await store.read("tenant", "id")
    assert await client.get(key) == kept


async def test_a_key_of_another_type_is_a_corrupted_record(store: RedisStore, client: Redis, prefix: str) -> None:
    await client.rpush(f"{prefix}:tenant:{{id}}", "foreign")
    with pytest.raises(StateCorrupted, match="expected a string"):
        await store.read("tenant", "id")


async def test_tenants_and_foreign_ids_cannot_reach_into_other_keys(
    store: RedisStore, client: Redis, prefix: str
) -> None:
    await store.create("a:{b}/ü", "i{d}:é", make_record(state=b"odd"))
    await store.create("a", "{b}/ü:i{d}", make_record(state=b"other"))
    keys = [key.decode() async for key in client.scan_iter(f"{prefix}:*")]
    assert f"{prefix}:a%3A%7Bb%7D%2F%C3%BC:{{i%7Bd%7D%3A%C3%A9}}" in keys
    assert all(key.count("{") <= 1 and key.count("}") <= 1 for key in keys)
    record = await store.read("a:{b}/ü", "i{d}:é")
    assert record is not None
    assert record.state == b"odd"
    assert await store.read("b", "i{d}:é") is None


async def test_a_caller_that_is_cancelled_harms_neither_its_write_nor_its_neighbours(store: RedisStore) -> None:
    created = [await store.create("tenant", f"id{number}", make_record()) for number in range(3)]
    tasks = [
        asyncio.create_task(store.write("tenant", f"id{number}", stepped(record)))
        for number, record in enumerate(created)
    ]
    await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert [result.step for result in results if isinstance(result, Record)] == [1, 1]
    await store.aclose()
    record = await store.read("tenant", "id1")
    assert record is not None
    assert record.step == 1


async def test_a_reader_that_is_cancelled_leaves_its_neighbours_their_own_answers(store: RedisStore) -> None:
    for number in range(30):
        await store.create("tenant", f"id{number}", make_record(state=bytes([number])))
    tasks = [asyncio.create_task(store.read("tenant", f"id{number}")) for number in range(30)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for number, result in enumerate(results):
        if number % 3:
            assert isinstance(result, Record)
            assert result.state == bytes([number])


async def test_a_store_that_came_back_empty_gets_its_secret_back(
    store: RedisStore, make_store: Make, client: Redis, prefix: str
) -> None:
    known = await store.secret()
    await client.delete(f"{prefix}:secret")
    newcomer = make_store()
    assert await store.share_secret() == known
    assert await newcomer.secret() == known


async def test_a_worker_takes_the_secret_that_another_one_was_first_to_store(
    store: RedisStore, make_store: Make, client: Redis, prefix: str
) -> None:
    await store.secret()
    await client.delete(f"{prefix}:secret")
    newcomer = make_store()
    other = await newcomer.secret()
    assert await store.share_secret() == other == await store.secret()


async def test_all_workers_share_one_secret(store: RedisStore, make_store: Make) -> None:
    other = make_store()
    ours, theirs = await asyncio.gather(store.secret(), other.secret())
    assert ours == theirs == await store.secret()
    assert len(ours) == 32


async def test_what_happens_is_told_to_the_observer(store: RedisStore, observed: Observed) -> None:
    await store.create("tenant", "id", make_record())
    await store.read("tenant", "id")
    await store.ping()
    assert observed.calls == ["create", "read", "ping"]
    assert observed.up is True
    assert not observed.errors


async def test_a_refusal_that_nobody_waits_for_is_no_error(store: RedisStore, caplog: pytest.LogCaptureFixture) -> None:
    record = await store.create("tenant", "id", make_record())
    await store.write("tenant", "id", stepped(record))
    late = asyncio.create_task(store.write("tenant", "id", stepped(record)))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    await store.aclose()
    del late
    gc.collect()
    assert not caplog.records


async def test_several_records_of_one_shard_are_written_and_read_together(store: RedisStore) -> None:
    sessions = [("tenant", f"{number}") for number in range(5)]
    created = [
        await store.create(*session, make_record(state=bytes([number]))) for number, session in enumerate(sessions)
    ]
    written = await store.write_many(
        [(session, stepped(record)) for session, record in zip(sessions, created, strict=True)]
    )
    assert [record.step for record in written if isinstance(record, Record)] == [1] * 5
    assert await store.read_many(sessions) == written


async def test_of_several_writes_only_the_one_that_lost_its_race_fails(store: RedisStore) -> None:
    sessions = [("tenant", f"{number}") for number in range(3)]
    created = [await store.create(*session, make_record()) for session in sessions]
    await store.write(*sessions[1], stepped(created[1]))
    results = await store.write_many(
        [(session, stepped(record)) for session, record in zip(sessions, created, strict=True)]
    )
    assert [type(result) for result in results] == [Record, WriteConflict, Record]


async def test_of_several_reads_each_gets_its_own_record_or_error(store: RedisStore) -> None:
    there, ended, _ = sessions = [("tenant", f"{name}") for name in ("there", "ended", "missing")]
    record = await store.create(*there, make_record())
    await store.create(*ended, make_record())
    await store.end(*ended)
    results = await store.read_many(sessions)
    assert results[0] == record
    assert isinstance(results[1], SessionEnded)
    assert results[2] is None


async def test_writes_of_several_records_renew_their_index_entries(store: RedisStore) -> None:
    session = ("tenant", "id")
    created = await store.create(*session, make_record())
    later = replace(created, step=1, expires_at=created.expires_at + 1_000_000)
    await store.write_many([(session, later)])
    await store.aclose()
    page = await store.list("tenant", None, 10, None)
    assert [(name, summary.step) for name, summary in page.sessions] == [("id", 1)]
