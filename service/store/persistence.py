"""What servers do to keep their writes, from their replies to INFO: append-only files and replicas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.store.driver.commands import Reply
from service.store.driver.topology import Topology
from service.store.server_info import ask_masters, fields_of


@dataclass(frozen=True, slots=True)
class Persistence:
    """Persistence of a server: whether it writes its append-only file without an error, and its connected replicas."""

    append_only: bool
    replicas: int

    @classmethod
    def parse(cls, persistence: Reply, replication: Reply) -> Self | None:
        """Return what INFO persistence and INFO replication report, or None if the server does not tell it."""
        fields = fields_of(persistence) | fields_of(replication)
        if b"aof_enabled" not in fields:
            return None
        written = fields[b"aof_enabled"] == b"1" and all(
            fields.get(name, b"ok") == b"ok" for name in (b"aof_last_write_status", b"aof_last_bgrewrite_status")
        )
        return cls(written, int(fields.get(b"connected_slaves", 0)))

    @classmethod
    def weakest(cls, servers: Sequence["Persistence"]) -> Self:
        """Return what all servers have: a session is on one of them, and nobody knows on which."""
        return cls(all(server.append_only for server in servers), min(server.replicas for server in servers))


async def weakest_persistence(topology: Topology, deadline: float) -> Persistence | None:
    """Return what all masters have, or None if one of them does not tell it. Raises no store error."""
    replies = await ask_masters(topology, ["persistence", "replication"], deadline)
    servers = [server for pair in replies if (server := Persistence.parse(*pair)) is not None]
    return Persistence.weakest(servers) if servers and len(servers) == len(replies) else None
