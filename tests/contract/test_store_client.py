"""Warnings of a server whose settings break promises, and passwords."""

from collections.abc import Callable
from contextlib import aclosing

import pytest
from store_support import Observed, make_client

from service.errors import StoreUnavailable
from service.store import EmbeddedServer, RedisStore, Topology, connect, warnings

pytestmark = pytest.mark.anyio
Start = Callable[[str], EmbeddedServer]
Connect = Callable[[str], RedisStore]


async def test_the_embedded_server_gives_no_warnings(topology: Topology) -> None:
    assert await warnings(topology) == []


async def test_settings_that_break_promises_are_warned_of(start_server: Start) -> None:
    server = start_server("odd")
    async with make_client(server.url) as client, aclosing(connect(server.url)) as topology:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("appendfsync", "no")
        found = await warnings(topology)
        assert [warning.split(" is ")[0] for warning in found] == [
            "the store's maxmemory-policy",
            "the store's appendfsync",
        ]
        await client.config_set("appendonly", "no")
        assert any("appendonly is no" in warning for warning in await warnings(topology))


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
