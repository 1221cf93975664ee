"""The store away, full, hung, restarted, or its replies lost on the way."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from store_support import (
    Observed,
    await_replicas,
    eventually,
    follow,
    listen,
    make_client,
    make_record,
    process_of,
    stepped,
)

from service.domain.errors import DurabilityNotReached, StoreFull, StoreUnavailable
from service.store import EmbeddedServer, RedisStore, connect

Start = Callable[[str], EmbeddedServer]
Connect = Callable[[str], RedisStore]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started <= seconds


async def test_a_store_that_is_away_is_told_at_once_and_has_everything_when_it_is_back(
    start_server: Start, connected: Connect, observed: Observed
) -> None:
    server = start_server("away")
    store = connected(server.url)
    created = await store.create("tenant", "id", make_record())
    server.stop()
    with within(2.0):
        with pytest.raises(StoreUnavailable) as of_write:
            await store.write("tenant", "id", stepped(created))
        with pytest.raises(StoreUnavailable) as of_read:
            await store.read("tenant", "id")
        for call in (store.ping(), store.active(), store.list("tenant", None, 1, None), store.secret()):
            with pytest.raises(StoreUnavailable):
                await call
    assert of_write.value.applied == "no"
    assert of_read.value.applied is None
    assert observed.up is False
    assert set(observed.errors) == {"store_unavailable"}
    server.start()
    assert (await store.write("tenant", "id", stepped(created))).step == 1
    assert observed.up is True


async def test_a_store_that_hangs_is_told_within_the_timeout_and_goes_on(
    start_server: Start, connected: Connect, observed: Observed
) -> None:
    server = start_server("hung")
    store = connected(server.url)
    created = await store.create("tenant", "id", make_record())
    process = await process_of(server)
    os.kill(process, signal.SIGSTOP)
    try:
        with within(2.5):
            writes = [store.write("tenant", "id", stepped(created)), store.read("tenant", "id")]
            late = asyncio.create_task(_after_the_first_tick(store))
            results = await asyncio.gather(*writes, late, return_exceptions=True)
    finally:
        os.kill(process, signal.SIGCONT)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert [result.applied for result in results if isinstance(result, StoreUnavailable)] == ["unknown", None, None]
    record = await store.read("tenant", "id")
    assert record is not None
    assert (await store.write("tenant", "id", stepped(record))).step == record.step + 1


async def _after_the_first_tick(store: RedisStore) -> object:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return await store.read("tenant", "other")


async def test_each_member_of_a_failed_round_trip_gets_an_error_of_its_own(
    start_server: Start, connected: Connect
) -> None:
    server = start_server("away")
    store = connected(server.url)
    server.stop()
    reads = [store.read("tenant", f"id{number}") for number in range(5)]
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert len({id(result) for result in results}) == 5


async def test_a_full_store_refuses_writes_loses_nothing_and_lets_sessions_end(
    start_server: Start, connected: Connect
) -> None:
    server = start_server("full")
    store = connected(server.url)
    created = await store.create("tenant", "id", make_record())
    await store.create("tenant", "ending", make_record())
    async with make_client(server.url) as admin:
        await admin.config_set("maxmemory", 1)
        calls = [store.write("tenant", "id", stepped(created)), store.read("tenant", "id")]
        refused, read = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(refused, StoreFull)
        assert refused.applied == "no"
        assert read == created
        with pytest.raises(StoreFull):
            await store.create("tenant", "new", make_record())
        assert await store.end("tenant", "ending")
        assert await store.active() == 1
        with pytest.raises(StoreFull, match="disk"):
            await store.ping()
        await admin.config_set("maxmemory", 1000)
        with pytest.raises(StoreFull, match="of 1000"):
            await store.ping()
        await admin.config_set("maxmemory", 0)
        await store.ping()
    assert (await store.write("tenant", "id", stepped(created))).step == 1


async def fill(store: RedisStore) -> list[str]:
    """Create sessions of 100 kB each until the store is full; return their ids."""
    stored: list[str] = []
    with contextlib.suppress(StoreFull):
        while True:
            await store.create("tenant", f"id{len(stored)}", make_record(state=bytes(100_000)))
            stored.append(f"id{len(stored)}")
    return stored


async def test_a_filled_store_ends_in_refusals_and_comes_back_whole(
    tmp_path: Path, connected: Connect, observed: Observed
) -> None:
    server = EmbeddedServer(tmp_path / "small", max_bytes=8 * 2**20)
    server.start()
    try:
        store = connected(server.url)
        stored = await fill(store)
        assert 40 < len(stored) < 100
        assert await store.end("tenant", stored.pop())
        server.replace()
        again = connected(server.url)
        for session_id in stored:
            record = await again.read("tenant", session_id)
            assert record is not None
            assert len(record.state) == 100_000
        assert await again.active() == len(stored)
        for session_id in stored[:10]:
            assert await again.end("tenant", session_id)
        assert await again.create("tenant", "another", make_record())
    finally:
        server.stop()


async def test_a_replica_refuses_writes_and_none_is_applied(start_server: Start, connected: Connect) -> None:
    server = start_server("replica")
    store = connected(server.url)
    created = await store.create("tenant", "id", make_record())
    async with make_client(server.url) as admin:
        await admin.execute_command("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(StoreUnavailable, match="refuses") as refused:
            await store.write("tenant", "id", stepped(created))
        assert refused.value.applied == "no"
        await admin.execute_command("REPLICAOF", "NO", "ONE")
    assert (await store.write("tenant", "id", stepped(created))).step == 1


async def test_a_store_killed_between_two_calls_loses_no_session(start_server: Start, connected: Connect) -> None:
    server = start_server("killed")
    store = connected(server.url)
    created = await store.create("tenant", "id", make_record(durability="fsynced"))
    os.kill(await process_of(server), signal.SIGKILL)

    async def dead() -> bool:
        return not server.alive()

    await eventually(dead)
    server.restart()
    assert await store.read("tenant", "id") == created
    assert (await store.write("tenant", "id", stepped(created))).step == 1


class Proxy:
    """Passes everything on to the server, and can lose one reply together with its connection."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._lose: Callable[[], Awaitable[object]] | None = None
        self._from: int = 0
        self._awaited: bytes = b""
        self._hold = False

    def lose_next_reply(self, meanwhile: Callable[[], Awaitable[object]], keep: int = 0, to: bytes = b"") -> None:
        """Close instead of passing on what the server says next, but for its first `keep` bytes.

        `to` is part of the command whose reply is lost; replies to those before it are passed on.
        """
        self._lose, self._from, self._awaited = meanwhile, keep, to

    @contextmanager
    def holding_replies(self) -> Iterator[None]:
        """Keep back what the server says, to the connections made meanwhile until they ask for more, or end."""
        self._hold = True
        try:
            yield
        finally:
            self._hold = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        more = asyncio.Event()
        upstream = asyncio.create_task(self._pass(reader, server_writer, more))
        try:
            if self._hold:
                await more.wait()
            await self._answer(server_reader, writer)
            await upstream
        finally:
            server_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if self._awaited in data:
                self._awaited = b""
            writer.write(data)
            if not self._hold:
                more.set()
        more.set()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._lose is not None and not self._awaited:
                meanwhile, self._lose = self._lose, None
                await meanwhile()
                writer.write(data[: self._from])
                break
            writer.write(data)
        writer.close()


@asynccontextmanager
async def proxied(
    server: EmbeddedServer, folder: Path, patience: float = 2.0
) -> AsyncIterator[tuple[Proxy, RedisStore]]:
    proxy = Proxy(server.url.removeprefix("unix://"))
    listener = await asyncio.start_unix_server(proxy.serve, folder / "proxy.sock")
    topology = connect(f"unix://{folder / 'proxy.sock'}")
    async with listener, aclosing(topology):
        store = RedisStore(topology, Observed(), prefix=folder.name, timeout=patience)
        yield proxy, store
        await store.aclose()


async def nothing() -> None:
    """What happens meanwhile: nothing."""


async def test_a_write_whose_reply_was_lost_is_recognised_and_succeeds(server: EmbeddedServer, tmp_path: Path) -> None:
    async with proxied(server, tmp_path) as (proxy, store):
        created = await store.create("tenant", "id", make_record())
        proxy.lose_next_reply(nothing)
        written = await store.write("tenant", "id", stepped(created))
        assert await store.read("tenant", "id") == written


async def test_a_creation_whose_reply_was_lost_succeeds(server: EmbeddedServer, tmp_path: Path) -> None:
    async with proxied(server, tmp_path) as (proxy, store):
        await store.create("tenant", "other", make_record())
        proxy.lose_next_reply(nothing)
        created = await store.create("tenant", "id", make_record())
        assert await store.read("tenant", "id") == created
        assert len((await store.list("tenant", None, 10, None)).sessions) == 2


async def test_a_greeting_that_took_too_long_leaves_no_replies_to_those_who_come_next(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    async with aclosing(connect(server.url)) as topology:
        direct = RedisStore(topology, Observed(), prefix=tmp_path.name)
        created = await direct.create("tenant", "id", make_record())
    async with proxied(server, tmp_path, patience=0.5) as (proxy, store):
        with proxy.holding_replies(), pytest.raises(StoreUnavailable):
            await store.read("tenant", "id")
        assert await store.read("tenant", "id") == created


async def test_a_write_that_was_overtaken_before_its_reply_was_lost_is_never_called_a_conflict(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    async with proxied(server, tmp_path) as (proxy, store), aclosing(connect(server.url)) as topology:
        direct = RedisStore(topology, Observed(), prefix=tmp_path.name)
        created = await store.create("tenant", "id", make_record())

        async def overtake() -> None:
            record = await direct.read("tenant", "id")
            assert record is not None
            assert record.step == 1
            await direct.write("tenant", "id", stepped(record))

        proxy.lose_next_reply(overtake)
        with pytest.raises(StoreUnavailable) as lost:
            await store.write("tenant", "id", stepped(created))
        assert lost.value.applied == "unknown"


async def test_a_write_that_was_recognised_when_it_was_sent_again_still_waits_for_replicas(
    start_server: Start, tmp_path: Path
) -> None:
    master, replica = start_server("master"), start_server("replica")
    await follow(replica, await listen(master))
    await await_replicas(master, 1)
    async with proxied(master, tmp_path) as (proxy, store):
        created = await store.create("tenant", "id", make_record(durability="replicated"))
        first = await store.write("tenant", "id", stepped(created))  # the server knows the script now
        process = await process_of(replica)
        os.kill(process, signal.SIGSTOP)
        try:
            proxy.lose_next_reply(nothing)
            with pytest.raises(DurabilityNotReached) as missed:
                await store.write("tenant", "id", stepped(first))
        finally:
            os.kill(process, signal.SIGCONT)
        assert missed.value.applied == "yes"


async def test_replies_that_came_before_the_loss_count(server: EmbeddedServer, tmp_path: Path) -> None:
    async with proxied(server, tmp_path) as (proxy, store):
        created = await store.create("tenant", "id", make_record(durability="memory"))
        # "$7 written" arrives, the reply to WAITAOF does not.
        proxy.lose_next_reply(nothing, keep=len(b"$7\r\nwritten\r\n"))
        with pytest.raises(DurabilityNotReached) as missed:
            await store.write("tenant", "id", stepped(make_record(durability="fsynced", token=created.token)))
        assert missed.value.applied == "yes"


async def test_an_end_whose_reply_was_lost_succeeds(server: EmbeddedServer, tmp_path: Path) -> None:
    async with proxied(server, tmp_path) as (proxy, store):
        await store.create("tenant", "id", make_record())
        await store.end("tenant", "none")
        proxy.lose_next_reply(nothing, to=b"EVALSHA")
        assert await store.end("tenant", "id")


async def test_an_end_that_is_sent_again_leaves_a_short_tombstone_in_a_store_that_is_nearly_full(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    async with proxied(server, tmp_path) as (proxy, store), make_client(server.url) as admin:
        await store.create("tenant", "id", make_record())
        await store.end("tenant", "none")
        used = (await admin.info("memory"))["used_memory"]
        await admin.config_set("maxmemory", int(1.2 * used))
        try:
            proxy.lose_next_reply(nothing, to=b"EVALSHA")
            assert await store.end("tenant", "id")
        finally:
            await admin.config_set("maxmemory", 0)
        (key,) = [key async for key in admin.scan_iter(f"{tmp_path.name}:tenant:*")]
        assert 0 < await admin.pttl(key) <= 60 * 1000
