"""Warnings of a server whose settings break promises, and passwords."""

import shutil
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from store_support import Observed, await_replicas, follow, listen, make_client

from service.domain.errors import StoreUnavailable
from service.store import EmbeddedServer, RedisStore, Topology, connect, warnings
from tests.deployments import Guard, Server

Start = Callable[[str], EmbeddedServer]
Connect = Callable[[str], RedisStore]


async def test_the_embedded_server_gives_no_warnings(topology: Topology) -> None:
    assert await warnings(topology) == []


async def test_settings_that_break_promises_are_warned_of(start_server: Start) -> None:
    server = start_server("odd")
    async with make_client(server.url) as client, aclosing(connect(server.url)) as topology:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("appendfsync", "no")
        problems = await warnings(topology)
        assert [warning.split(" is ")[0] for warning in problems] == [
            "the store's maxmemory-policy",
            "the store's appendfsync",
        ]
        await client.config_set("appendonly", "no")
        assert any("appendonly is no" in warning for warning in await warnings(topology))


async def test_a_durability_that_the_server_cannot_give_is_warned_of(start_server: Start) -> None:
    server, replica = start_server("alone"), start_server("replica")
    async with make_client(server.url) as client, aclosing(connect(server.url)) as topology:
        assert await warnings(topology, "fsynced") == []
        (problem,) = await warnings(topology, "replicated")
        assert problem.startswith("the store has no replica, expected one or more: UNROLL_DURABILITY is replicated")
        await follow(replica, await listen(server))
        await await_replicas(server, 1)
        assert await warnings(topology, "replicated") == []
        await client.config_set("appendonly", "no")
        assert any("refuses WAITAOF" in warning for warning in await warnings(topology, "fsynced"))
        await client.config_set("appendfsync", "no")
        assert any("appendfsync is no" in warning for warning in await warnings(topology, "fsynced"))


async def test_a_server_without_waitaof_is_warned_of_where_sessions_want_it(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs a redis-server on the PATH, before 7.2 (Debian's redis-server is)")
    server = Server(tmp_path, guard=Guard(program=Path(program))).start()
    try:
        if tuple(map(int, server.ask("INFO", "server")["redis_version"].split(".")[:2])) >= (7, 2):
            pytest.skip("the redis-server on the PATH has WAITAOF")
        async with aclosing(connect(f"redis://127.0.0.1:{server.port}")) as topology:
            assert await warnings(topology) == []
            (problem,) = await warnings(topology, "fsynced")
            assert problem.startswith(
                "the store has no WAITAOF, expected Valkey, Redis 7.2 or later, or appendfsync alw"
            )
            server.ask("CONFIG", "SET", "appendfsync", "always")
            assert await warnings(topology, "fsynced") == []
    finally:
        server.kill()


async def test_a_server_that_hides_its_configuration_is_tolerated(start_server: Start) -> None:
    server = start_server("managed")
    async with make_client(server.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "~*", "+@all", "-config")
    async with aclosing(connect(f"unix://guest:secret@{server.url.removeprefix('unix://')}")) as guest:
        await RedisStore(guest, Observed()).ping()
        assert await warnings(guest) == []


async def test_a_wrong_password_is_told_without_it(start_server: Start, connected: Connect) -> None:
    server = start_server("locked")
    async with make_client(server.url) as admin:
        await admin.config_set("requirepass", "right")
    for url in (server.url, f"unix://:wrong@{server.url.removeprefix('unix://')}"):
        with pytest.raises(StoreUnavailable) as refused:
            await connected(url).ping()
        assert "wrong" not in refused.value.message
        assert "right" not in refused.value.message
    async with make_client(f"unix://:right@{server.url.removeprefix('unix://')}") as admin:
        await admin.config_set("requirepass", "")
