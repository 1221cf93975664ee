"""URLs, and warnings of a server whose settings break promises."""

from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from service.errors import SettingsError, StoreUnavailable
from service.store import EmbeddedServer, RedisStore, make_client, warnings

pytestmark = pytest.mark.anyio
Start = Callable[[str], EmbeddedServer]
Connect = Callable[[str], RedisStore]


@pytest.mark.parametrize("url", ["redis://:secret@host:1/2", "rediss://user:secret@host", "unix:///path?db=1"])
async def test_the_usual_urls_are_taken(url: str) -> None:
    await make_client(url).aclose()


@pytest.mark.parametrize("url", ["redis+sentinel://:secret@host", "redis+cluster://h", "http://:secret@h", "", "/path"])
async def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(SettingsError, match="redis, rediss, unix") as refused:
        make_client(url)
    assert "secret" not in str(refused.value)


async def test_a_url_that_cannot_be_read_is_refused_without_repeating_it() -> None:
    with pytest.raises(SettingsError) as refused:
        make_client("redis://:secret@host:port")
    assert "secret" not in str(refused.value)


async def test_the_embedded_server_gives_no_warnings(client: Redis) -> None:
    assert await warnings(client) == []


async def test_settings_that_break_promises_are_warned_of(start_server: Start) -> None:
    async with make_client(start_server("odd").url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("appendfsync", "no")
        found = await warnings(client)
        assert [warning.split(" is ")[0] for warning in found] == [
            "the store's maxmemory-policy",
            "the store's appendfsync",
        ]
        await client.config_set("appendonly", "no")
        assert any("appendonly is no" in warning for warning in await warnings(client))


async def test_a_server_that_hides_its_configuration_is_tolerated(start_server: Start) -> None:
    server = start_server("managed")
    async with make_client(server.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "~*", "+@all", "-config")
    async with make_client(f"unix://guest:secret@{server.url.removeprefix('unix://')}") as guest:
        assert await guest.ping()
        assert await warnings(guest) == []


async def test_a_wrong_password_is_told_without_it(start_server: Start, connect: Connect) -> None:
    server = start_server("locked")
    async with make_client(server.url) as admin:
        await admin.config_set("requirepass", "right")
    for url in (server.url, f"unix://:wrong@{server.url.removeprefix('unix://')}"):
        with pytest.raises(StoreUnavailable) as refused:
            await connect(url).ping()
        assert "wrong" not in refused.value.message
        assert "right" not in refused.value.message
    async with make_client(f"unix://:right@{server.url.removeprefix('unix://')}") as admin:
        await admin.config_set("requirepass", "")
