"""What in the server's own configuration breaks a promise of the service."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from service.store.errors import Lost
from service.store.topology import Single, Topology

_EXPECTED = {
    "maxmemory-policy": ("noeviction", "the server may drop live sessions when its memory is full"),
    "appendonly": ("yes", "all sessions are lost when the server restarts"),
}
_OLDEST = (6, 2)
_PATIENCE_SECONDS = 2.0


async def warnings(topology: Topology) -> list[str]:
    """One sentence per setting of any master that breaks a promise; none of servers that hide their configuration.

    Never raises for the store's sake: one that does not answer has nothing to warn of yet.
    """
    try:
        masters = await topology.masters(asyncio.get_running_loop().time() + _PATIENCE_SECONDS)
    except Lost:
        return []
    found: list[str] = []
    for master in masters:
        found += [
            *await _of_server(master.client),
            *(await _of_mode(master.client) if isinstance(topology, Single) else ()),
        ]
    return list(dict.fromkeys(found))


async def _of_server(client: Redis) -> list[str]:
    found: list[str] = []
    try:
        found += _of_version(await client.info("server"))
        found += _of_settings(await _settings(client))
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
