"""Prunes expired sessions from the index and counts the live ones; each expiry is counted by exactly one worker."""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from service.store.driver.commands import Command, Reply, Script, read_command, script_command, write_command
from service.store.keys import Keys

_MAX_BATCH = 500  # entries removed per round trip: the server is blocked meanwhile
_MAX_ROUNDS = 40  # round trips for one group of tenants
_MAX_TENANTS = 200  # tenants per round trip

Run = Callable[[Sequence[Command]], Awaitable[list[Reply]]]


class ExpirySweep:
    """Removes expired entries, each of which one worker only counts to `on_expired`. Raises what `run` raises."""

    def __init__(self, run: Run, keys: Keys, on_expired: Callable[[int], None]) -> None:
        self._run = run
        self._keys = keys
        self._on_expired = on_expired
        self._script = Script.read("prune", "sizes")

    async def prune_and_count(self) -> int:
        """Return the number of live entries of all tenants.

        If very many expired at once, the next call removes the rest; expired entries are never counted.
        """
        (members,) = await self._run([read_command("SMEMBERS", self._keys.tenants)])
        tenants = sorted(member.decode() for member in cast("list[bytes]", members))
        total = 0
        for start in range(0, len(tenants), _MAX_TENANTS):
            total += await self._count_live(tenants[start : start + _MAX_TENANTS])
        return total

    async def _count_live(self, tenants: Sequence[str]) -> int:
        live: dict[str, int] = {}
        empty: list[str] = []
        pending = list(tenants)
        for _ in range(_MAX_ROUNDS):
            batch = max(1, _MAX_BATCH // len(pending))
            commands = [script_command(self._script, self._keys.index_scripts(tenant), batch) for tenant in pending]
            replies = cast("list[tuple[int, int, int]]", await self._run(commands))
            counts = dict(zip(pending, replies, strict=True))
            self._on_expired(sum(dropped for dropped, _, _ in replies))
            live |= {tenant: count for tenant, (_, count, _) in counts.items()}
            empty += [tenant for tenant, (_, _, left) in counts.items() if not left]
            pending = [tenant for tenant, (dropped, _, left) in counts.items() if dropped == batch and left]
            if not pending:
                break
        await self._remove_tenants(empty)
        return sum(live.values())

    async def _remove_tenants(self, tenants: Sequence[str]) -> None:
        if not tenants:
            return
        await self._run([write_command("SREM", self._keys.tenants, *tenants)])
        replies = await self._run([read_command("ZCARD", self._keys.index(tenant)[1]) for tenant in tenants])
        # A session may have been added between the count and the removal of its tenant.
        busy = [tenant for tenant, size in zip(tenants, replies, strict=True) if size]
        if busy:
            await self._run([write_command("SADD", self._keys.tenants, *busy)])
