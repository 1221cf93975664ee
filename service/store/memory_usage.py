"""Use of the memory of servers, from their replies to INFO."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.domain.errors import StoreFull
from service.store.driver.commands import Reply
from service.store.driver.topology import Topology
from service.store.embedded.server import NO_WRITES_BYTES
from service.store.server_info import ask_masters, fields_of


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Memory that a server uses and its limit `maxmemory`, in bytes; 0 is no limit."""

    used: int
    limit: int

    @classmethod
    def parse(cls, reply: Reply) -> Self | None:
        """Return the usage that INFO memory reports, or None if the server does not tell it."""
        fields = fields_of(reply)
        if b"used_memory" not in fields or b"maxmemory" not in fields:
            return None
        # Buffers of replicas and of the append-only file do not count against the limit.
        used = int(fields[b"used_memory"]) - int(fields.get(b"mem_not_counted_for_evict", 0))
        return cls(used, int(fields[b"maxmemory"]))

    @classmethod
    def total(cls, usages: Sequence["MemoryUsage"]) -> Self:
        """Return the usage of several servers together. They have no limit if one of them has none."""
        limits = [usage.limit for usage in usages]
        return cls(sum(usage.used for usage in usages), sum(limits) if all(limits) else 0)

    def require_space(self) -> None:
        """Raise StoreFull if the server refuses writes."""
        if self.limit == NO_WRITES_BYTES:
            raise StoreFull("the store refuses writes: its disk is nearly full")
        if 0 < self.limit <= self.used:
            raise StoreFull(f"the store is full: it uses {self.used} bytes of {self.limit}")


async def total_usage(topology: Topology, deadline: float) -> MemoryUsage | None:
    """Return the usage of all masters, or None if one of them does not tell it. Raises no store error."""
    replies = await ask_masters(topology, ["memory"], deadline)
    usages = [usage for (reply,) in replies if (usage := MemoryUsage.parse(reply)) is not None]
    return MemoryUsage.total(usages) if usages and len(usages) == len(replies) else None
