"""What the tenants have in the index: their names, the number of their live sessions, and what these reserve."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from service.domain.sessions import StoreUsage
from service.store.driver.commands import read_command
from service.store.driver.executor import CommandExecutor
from service.store.keys import Keys

_MAX_TENANTS = 200  # tenants per round trip


class TenantUsage:
    """Reads the index of each tenant, and changes nothing. Every round trip ends within `timeout` seconds.

    `now` returns milliseconds since 1970. Entries that have expired by then are not counted; what they reserve is,
    until they are removed.
    """

    def __init__(self, executor: CommandExecutor, keys: Keys, *, timeout: float, now: Callable[[], int]) -> None:
        self._executor = executor
        self._keys = keys
        self._timeout = timeout
        self._now = now

    async def names(self) -> list[str]:
        """Return the tenants that may have live sessions. Raises StoreUnavailable."""
        (members,) = await self._executor.values([read_command("SMEMBERS", self._keys.tenants)], self._deadline())
        return sorted(member.decode() for member in cast("list[bytes]", members))

    async def usage(self, tenants: Sequence[str]) -> list[StoreUsage]:
        """Return what each tenant has. Raises StoreUnavailable."""
        found: list[StoreUsage] = []
        for start in range(0, len(tenants), _MAX_TENANTS):
            found += await self._read(tenants[start : start + _MAX_TENANTS])
        return found

    async def _read(self, tenants: Sequence[str]) -> list[StoreUsage]:
        commands = []
        for tenant in tenants:
            expiry, reserved = self._keys.reservations(tenant)
            commands += [read_command("ZCOUNT", expiry, f"({self._now()}", "+inf"), read_command("GET", reserved)]
        replies = await self._executor.values(commands, self._deadline())
        counts, reserved_bytes = replies[::2], replies[1::2]
        return [
            StoreUsage(cast("int", count), int(cast("bytes | None", size) or 0) if count else 0)
            for count, size in zip(counts, reserved_bytes, strict=True)
        ]

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout
