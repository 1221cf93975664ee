"""What in the server's own configuration breaks a promise of the service."""

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

_EXPECTED = {
    "maxmemory-policy": ("noeviction", "the server may drop live sessions when its memory is full"),
    "appendonly": ("yes", "all sessions are lost when the server restarts"),
}
_OLDEST = (6, 2)


async def warnings(client: Redis) -> list[str]:
    """One sentence per setting that breaks a promise; empty for a server that hides its configuration.

    Never raises for the server's sake: one that does not answer has nothing to warn of yet.
    """
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


def _of_version(server: dict[str, object]) -> list[str]:
    # Valkey tells the Redis version that it is compatible with under this name, and its own under another.
    version = str(server.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) < 2 or numbers >= _OLDEST:
        return []
    return [f"the store is version {version}, expected 6.2 or later"]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
