"""The application's port `TokenBuckets` on servers that speak the Redis protocol."""

import asyncio
from functools import partial
from typing import cast

from service.domain.limits import TokenGrant
from service.store.driver.commands import Script, script_command
from service.store.driver.durability import make_level
from service.store.driver.executor import CommandExecutor
from service.store.driver.topology import Topology
from service.store.keys import Keys


class RedisTokenBuckets:
    """Buckets of tokens under `prefix` in the servers of `topology`, shared by all workers.

    Every call ends within `timeout` seconds. Raises StoreUnavailable and StoreFull.
    """

    def __init__(self, topology: Topology, *, prefix: str, timeout: float) -> None:
        self._keys = Keys(prefix)
        self._timeout = timeout
        self._executor = CommandExecutor(topology, partial(make_level, "memory"))
        self._script = Script.read("take")

    async def take(
        self, tenant: str, name: str, *, rate: float, size: float, needed: float, wanted: float
    ) -> TokenGrant:
        """Take up to `wanted` tokens, but at least `needed` or none, from a bucket of `size` that fills at `rate`."""
        arguments = (repr(rate), repr(size), repr(needed), repr(wanted))
        command = script_command(self._script, [self._keys.bucket(tenant, name)], *arguments)
        deadline = asyncio.get_running_loop().time() + self._timeout
        (reply,) = await self._executor.values([command], deadline)
        return TokenGrant(*map(float, cast("list[bytes]", reply)))
