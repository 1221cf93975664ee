"""What in the servers' own configuration breaks a promise of the service, or of the durability that it is set to."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from service.domain.sessions import Durability
from service.store.driver.errors import ReplyLost
from service.store.driver.topology import Standalone, Topology

_EXPECTED = {
    "maxmemory-policy": ("noeviction", "the server may drop live sessions when its memory is full"),
    "appendonly": ("yes", "all sessions are lost when the server restarts"),
}
_OLDEST = (6, 2)
_TIMEOUT_SECONDS = 2.0


async def warnings(topology: Topology, durability: Durability = "memory") -> list[str]:
    """One sentence per setting of any master that breaks a promise; none of servers that hide their configuration.

    `durability` is that of sessions which name none. Never raises for the store's sake: one that does not answer has
    nothing to warn of yet.
    """
    try:
        masters = await topology.masters(asyncio.get_running_loop().time() + _TIMEOUT_SECONDS)
    except ReplyLost:
        return []
    found: list[str] = []
    for master in masters:
        found += [
            *await _of_server(master.client, durability),
            *(await _of_mode(master.client) if isinstance(topology, Standalone) else ()),
        ]
    return list(dict.fromkeys(found))


async def _of_server(client: Redis, durability: Durability) -> list[str]:
    found: list[str] = []
    try:
        found += _of_version(await client.info("server"))
        settings = await _settings(client)
        found += _of_settings(settings)
        if durability == "replicated":
            found += await _of_replicas(client)
        if durability == "fsynced":
            found += await _of_disk(client, settings)
    except (RedisError, OSError):
        return found
    return found


async def _settings(client: Redis) -> dict[str, str]:
    values: dict[str, str] = {}
    for pattern in ("maxmemory-policy", "append*"):
        try:
            answer = await client.config_get(pattern)
        except ResponseError:  # managed servers refuse or do not know CONFIG
            continue
        values |= {_text(name): _text(value) for name, value in answer.items()}
    return values


def _of_settings(settings: dict[str, str]) -> list[str]:
    found = [
        f"the store's {name} is {settings[name]}, expected {expected}: {why}"
        for name, (expected, why) in _EXPECTED.items()
        if settings.get(name, expected) != expected
    ]
    if settings.get("appendonly") == "yes" and settings.get("appendfsync") == "no":
        found.append(
            "the store's appendfsync is no, expected everysec or always: more than a second of steps may roll back"
        )
    return found


async def _of_replicas(client: Redis) -> list[str]:
    role = await client.execute_command("ROLE")  # type: ignore[no-untyped-call]
    return [] if role[2] else [f"the store has no replica, expected one or more: {_refused('replicated')}"]


async def _of_disk(client: Redis, settings: dict[str, str]) -> list[str]:
    """Whether the server can say that its disk has a write, or never answers before it has."""
    if (settings.get("appendonly"), settings.get("appendfsync")) == ("yes", "always"):
        return []
    if settings.get("appendfsync") == "no":
        return [f"the store's appendfsync is no, expected everysec or always: {_refused('fsynced')}"]
    try:
        await client.execute_command("WAITAOF", 1, 0, 1)  # type: ignore[no-untyped-call]
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            newer = "Valkey, Redis 7.2 or later, or appendfsync always"
            return [f"the store has no WAITAOF, expected {newer}: {_refused('fsynced')}"]
        return [f"the store refuses WAITAOF, expected appendonly yes and the right to ask: {_refused('fsynced')}"]
    return []


def _refused(durability: Durability) -> str:
    return f"UNROLL_DURABILITY is {durability}, and such steps are answered 503"


async def _of_mode(client: Redis) -> list[str]:
    try:
        mode = await client.info("cluster")
    except (RedisError, OSError):
        return []
    if not mode.get("cluster_enabled"):
        return []
    return ["the store is a server of a cluster, expected redis+cluster:// in REDIS_URL: other servers have its keys"]


def _of_version(server: dict[str, object]) -> list[str]:
    # Valkey tells the Redis version that it is compatible with under this name, and its own under another.
    version = str(server.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) < 2 or numbers >= _OLDEST:
        return []
    return [f"the store is version {version}, expected 6.2 or later"]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
