"""The keys of a store as they are, read from one server and written into another."""

import time
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict
from redis import Redis

Kind: TypeAlias = Literal["string", "set", "zset", "hash"]

_YEAR_2001 = 1_000_000_000_000

_READ: dict[Kind, Callable[[Any, bytes], Iterable[Any]]] = {
    "string": lambda store, name: [store.get(name)],
    "set": lambda store, name: sorted(store.smembers(name)),
    "zset": lambda store, name: chain.from_iterable(
        (str(int(score)).encode(), member) for member, score in store.zrange(name, 0, -1, withscores=True)
    ),
    "hash": lambda store, name: chain.from_iterable(sorted(store.hgetall(name).items())),
}
_WRITE: dict[Kind, str] = {"string": "SET", "set": "SADD", "zset": "ZADD", "hash": "HSET"}


class StoredKey(BaseModel):
    """A key of any kind: its parts are what the command that writes it takes, so no server's dump format is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    name: str
    kind: Kind
    #: How long it had to live, in milliseconds; None: for ever.
    ttl: int | None = None
    parts: list[bytes]

    def write(self, store: Redis, elapsed: int) -> None:
        """Write the key as if it were `elapsed` milliseconds younger."""
        store.execute_command(_WRITE[self.kind], self.name, *self._moved(elapsed))
        if self.ttl is not None:
            store.pexpire(self.name, self.ttl)

    def _moved(self, elapsed: int) -> list[bytes]:
        """The parts, with the scores that are times moved; what a value says of times stays as it is."""
        if self.kind != "zset":
            return self.parts
        scores = [int(score) + (elapsed if int(score) > _YEAR_2001 else 0) for score in self.parts[::2]]
        return [
            part for score, member in zip(scores, self.parts[1::2], strict=True) for part in (b"%d" % score, member)
        ]


def read_keys(store: Redis) -> list[StoredKey]:
    """Every key of the store."""
    return [_read(store, name) for name in sorted(cast("list[bytes]", store.keys()))]


def write_keys(store: Redis, keys: Iterable[StoredKey], recorded_at: int) -> None:
    """Write the keys into a store, with as long to live as they had when they were read."""
    elapsed = time.time_ns() // 1_000_000 - recorded_at
    for key in keys:
        key.write(store, elapsed)


def _read(store: Redis, name: bytes) -> StoredKey:
    kind = cast("Kind", cast("bytes", store.type(name)).decode())
    ttl = cast("int", store.pttl(name))
    return StoredKey(name=name.decode(), kind=kind, ttl=None if ttl < 0 else ttl, parts=list(_READ[kind](store, name)))
