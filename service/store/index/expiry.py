"""Counts the live entries of all indexes, and drops those whose time is over, a portion at a time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from service.store.driver.commands import Command, Reply, Script, read_command, script_command, write_command
from service.store.keys import Keys

_PORTION = 500  # entries that one round trip drops: the server does nothing else meanwhile
_ROUNDS = 40  # round trips for the tenants of one count
_TENANTS = 200  # tenants per round trip

Run = Callable[[Sequence[Command]], Awaitable[list[Reply]]]


class ExpirySweep:
    """Every entry is dropped, and told to `on_expired`, by one worker only. What `run` raises goes through."""

    def __init__(self, run: Run, keys: Keys, on_expired: Callable[[int], None]) -> None:
        self._run = run
        self._keys = keys
        self._on_expired = on_expired
        self._script = Script.read("prune")

    async def active(self) -> int:
        """Live entries of all tenants. Of many that ended at once, some wait for the next call; they do not count."""
        (members,) = await self._run([read_command("SMEMBERS", self._keys.tenants)])
        tenants = sorted(member.decode() for member in cast("list[bytes]", members))
        total = 0
        for start in range(0, len(tenants), _TENANTS):
            total += await self._count(tenants[start : start + _TENANTS])
        return total

    async def _count(self, tenants: Sequence[str]) -> int:
        live: dict[str, int] = {}
        empty: list[str] = []
        pending = list(tenants)
        for _ in range(_ROUNDS):
            portion = max(1, _PORTION // len(pending))
            commands = [script_command(self._script, self._keys.index(tenant), portion) for tenant in pending]
            replies = cast("list[tuple[int, int, int]]", await self._run(commands))
            counts = dict(zip(pending, replies, strict=True))
            self._on_expired(sum(dropped for dropped, _, _ in replies))
            live |= {tenant: count for tenant, (_, count, _) in counts.items()}
            empty += [tenant for tenant, (_, _, left) in counts.items() if not left]
            pending = [tenant for tenant, (dropped, _, left) in counts.items() if dropped == portion and left]
            if not pending:
                break
        await self._forget(empty)
        return sum(live.values())

    async def _forget(self, tenants: Sequence[str]) -> None:
        if not tenants:
            return
        await self._run([write_command("SREM", self._keys.tenants, *tenants)])
        replies = await self._run([read_command("ZCARD", self._keys.index(tenant)[1]) for tenant in tenants])
        # One may have entered a session between the count and its removal.
        busy = [tenant for tenant, size in zip(tenants, replies, strict=True) if size]
        if busy:
            await self._run([write_command("SADD", self._keys.tenants, *busy)])
