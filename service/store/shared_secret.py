"""The secret that all workers of a store share: generated once, kept in the store and in memory."""

import asyncio
import secrets

from service.domain.errors import InternalError
from service.store.driver.commands import read_command, write_command
from service.store.driver.executor import CommandExecutor
from service.store.driver.group_commit import ShardedGroupCommit

_SECRET_BYTES = 32


class SharedSecret:
    """32 random bytes under one key. Each round trip ends within `timeout` seconds.

    `fsynced` writes at that durability level: if a crash lost the secret, a new one would invalidate all session ids.
    """

    def __init__(self, key: str, executor: CommandExecutor, fsynced: ShardedGroupCommit, *, timeout: float) -> None:
        self._key = key
        self._executor = executor
        self._fsynced = fsynced
        self._timeout = timeout
        self.value: bytes | None = None

    async def share(self) -> bytes:
        """Store the known secret, or a new one, unless the store has one; return the stored one.

        Raises StoreUnavailable, StoreFull, and InternalError if the key holds anything else.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        get = read_command("GET", self._key)
        (stored,) = await self._executor.values([get], deadline)
        if stored is None:
            proposal = write_command("SET", self._key, self.value or secrets.token_bytes(_SECRET_BYTES), "NX")
            (await self._fsynced.submit(proposal, deadline)).value()
            (stored,) = await self._executor.values([get], deadline)
        if not isinstance(stored, bytes) or len(stored) != _SECRET_BYTES:
            raise InternalError(f"{self._key} in the store is no secret of {_SECRET_BYTES} bytes")
        self.value = stored
        return stored
