"""Checks of the servers' configuration: settings that break a promise of the service or of its durability level."""

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
_MIN_VERSION = (6, 2)
_TIMEOUT_SECONDS = 2.0


async def warnings(topology: Topology, durability: Durability = "memory") -> list[str]:
    """Return one sentence for each setting of a master that breaks a promise.

    `durability` is the level of sessions that name none. Servers that hide their configuration or do not reply are
    skipped. Raises no store error.
    """
    try:
        masters = await topology.masters(asyncio.get_running_loop().time() + _TIMEOUT_SECONDS)
    except ReplyLost:
        return []
    problems: list[str] = []
    for master in masters:
        problems += [
            *await _check_server(master.client, durability),
            *(await _check_cluster_mode(master.client) if isinstance(topology, Standalone) else ()),
        ]
    return list(dict.fromkeys(problems))


async def _check_server(client: Redis, durability: Durability) -> list[str]:
    problems: list[str] = []
    try:
        problems += _check_version(await client.info("server"))
        settings = await _settings(client)
        problems += _check_settings(settings)
        if durability == "replicated":
            problems += await _check_replicas(client)
        if durability == "fsynced":
            problems += await _check_disk(client, settings)
    except (RedisError, OSError):
        return problems
    return problems


async def _settings(client: Redis) -> dict[str, str]:
    values: dict[str, str] = {}
    for pattern in ("maxmemory-policy", "append*"):
        try:
            reply = await client.config_get(pattern)
        except ResponseError:  # managed servers may reject CONFIG
            continue
        values |= {_text(name): _text(value) for name, value in reply.items()}
    return values


def _check_settings(settings: dict[str, str]) -> list[str]:
    problems = [
        f"the store's {name} is {settings[name]}, expected {expected}: {why}"
        for name, (expected, why) in _EXPECTED.items()
        if settings.get(name, expected) != expected
    ]
    if settings.get("appendonly") == "yes" and settings.get("appendfsync") == "no":
        problems.append(
            "the store's appendfsync is no, expected everysec or always: more than a second of steps may roll back"
        )
    return problems


async def _check_replicas(client: Redis) -> list[str]:
    role = await client.execute_command("ROLE")  # type: ignore[no-untyped-call]
    return [] if role[2] else [f"the store has no replica, expected one or more: {_unreachable('replicated')}"]


async def _check_disk(client: Redis, settings: dict[str, str]) -> list[str]:
    """Check that the server supports WAITAOF, or syncs every write before it replies."""
    if (settings.get("appendonly"), settings.get("appendfsync")) == ("yes", "always"):
        return []
    if settings.get("appendfsync") == "no":
        return [f"the store's appendfsync is no, expected everysec or always: {_unreachable('fsynced')}"]
    try:
        await client.execute_command("WAITAOF", 1, 0, 1)  # type: ignore[no-untyped-call]
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            newer = "Valkey, Redis 7.2 or later, or appendfsync always"
            return [f"the store has no WAITAOF, expected {newer}: {_unreachable('fsynced')}"]
        return [f"the store refuses WAITAOF, expected appendonly yes and the right to ask: {_unreachable('fsynced')}"]
    return []


def _unreachable(durability: Durability) -> str:
    return f"UNROLL_DURABILITY is {durability}, and such steps are answered 503"


async def _check_cluster_mode(client: Redis) -> list[str]:
    try:
        info = await client.info("cluster")
    except (RedisError, OSError):
        return []
    if not info.get("cluster_enabled"):
        return []
    return ["the store is a server of a cluster, expected redis+cluster:// in REDIS_URL: other servers have its keys"]


def _check_version(server: dict[str, object]) -> list[str]:
    # Valkey reports the compatible Redis version in this field, and its own version in another one.
    version = str(server.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) < 2 or numbers >= _MIN_VERSION:
        return []
    return [f"the store is version {version}, expected 6.2 or later"]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
