"""Durability levels: the commands that follow the writes of a pipeline, and the evaluation of their replies.

WAIT and WAITAOF cover the writes of their own connection only, so they are sent in the pipeline of the writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from redis.exceptions import ResponseError

from service.domain.sessions import Durability
from service.store.driver.commands import Argument, Reply
from service.store.driver.topology import ReplicaCount

WaitCommands: TypeAlias = list[tuple[Argument, ...]]
# WAIT takes 0 for "forever".
_NO_WAIT_MS = 1


@dataclass(frozen=True, slots=True)
class DurabilityResult:
    """Outcome of a durability level: `failure_reason` is the reason why it was not reached, or None.

    `retry` is true if it may be reached after another refresh of the topology.
    """

    failure_reason: str | None = None
    retry: bool = False


class Level(Protocol):
    """A durability level at one server."""

    def commands(self, milliseconds: int) -> WaitCommands:
        """Return the commands that follow the writes and wait at most `milliseconds`."""

    def evaluate(self, sent: WaitCommands, replies: Sequence[Reply], replica_count: ReplicaCount) -> DurabilityResult:
        """Return whether the replies to the commands `sent` show that the level was reached."""


class Memory:
    """Level `memory`: reached as soon as the server has replied to the write."""

    def commands(self, milliseconds: int) -> WaitCommands:  # noqa: ARG002 - the protocol's argument
        """Return no commands."""
        return []

    def evaluate(self, sent: WaitCommands, replies: Sequence[Reply], replica_count: ReplicaCount) -> DurabilityResult:  # noqa: ARG002 - the protocol's arguments
        """Return success."""
        return DurabilityResult()


class Replicated:
    """Level `replicated`: all connected replicas, at least one, have the write. ROLE beside WAIT counts them.

    A promoted replica leaves its master before the master knows of the promotion, so a write may be lost if fewer
    replicas confirm it than were connected, or than the topology counts on. A number that falls is therefore believed
    only after another refresh of the topology.
    """

    def __init__(self) -> None:
        self._connected: int | None = None
        self._max_connected = 0
        self._refreshes = -1

    def commands(self, milliseconds: int) -> WaitCommands:
        """Return WAIT for the replicas seen last, and ROLE. Without replicas, WAIT returns at once."""
        timeout = _NO_WAIT_MS if self._connected == 0 else milliseconds
        return [("WAIT", max(1, self._connected or 1), timeout), ("ROLE",)]

    def evaluate(self, sent: WaitCommands, replies: Sequence[Reply], replica_count: ReplicaCount) -> DurabilityResult:
        """Return success if as many replicas confirmed as are connected and as may be promoted."""
        acknowledged, role = replies
        self._connected = connected_replicas(role, self._connected)
        if not isinstance(acknowledged, int):
            return DurabilityResult("the store does not answer WAIT")
        connected = self._connected or 0
        expected = self._expected_replicas(connected, replica_count)
        if acknowledged >= expected:
            return DurabilityResult()
        _, requested, milliseconds = sent[0]
        newly_connected = connected > int(requested) or (milliseconds == _NO_WAIT_MS and connected > 0)
        return DurabilityResult(
            f"{acknowledged} replicas confirmed the write in time, expected {expected}",
            retry=newly_connected or expected > max(1, connected),
        )

    def _expected_replicas(self, connected: int, replica_count: ReplicaCount) -> int:
        refreshed = replica_count.refreshes != self._refreshes
        self._max_connected = connected if refreshed else max(self._max_connected, connected)
        self._refreshes = replica_count.refreshes
        return max(1, self._max_connected, replica_count.replicas)


class Fsynced:
    """Level `fsynced`: the server's own disk has the write, by WAITAOF or because every write is synced at once."""

    def __init__(self) -> None:
        self._lacks_waitaof = False

    def commands(self, milliseconds: int) -> WaitCommands:
        """Return WAITAOF, and for a server that lacks it a query of its append-only settings."""
        wait: WaitCommands = [("WAITAOF", 1, 0, milliseconds)]
        return [*wait, ("CONFIG", "GET", "append*")] if self._lacks_waitaof else wait

    def evaluate(self, sent: WaitCommands, replies: Sequence[Reply], replica_count: ReplicaCount) -> DurabilityResult:  # noqa: ARG002 - the protocol's argument
        """Return success if the server's own count is 1, or if it syncs before it replies."""
        counts = replies[0]
        if isinstance(counts, list):
            return DurabilityResult(None if counts[0] == 1 else "the append-only file was not synced in time")
        if len(replies) > 1:
            synced = always_synced(replies[1])
            return DurabilityResult(None if synced else "the store has neither WAITAOF nor AOF always")
        if isinstance(counts, ResponseError) and "unknown command" in str(counts).lower():
            self._lacks_waitaof = True
            return DurabilityResult("the store has no WAITAOF", retry=True)
        return DurabilityResult("the store does not answer WAITAOF, is its append-only file on?")


def connected_replicas(role: Reply, default: int | None) -> int | None:
    """Return the number of replicas in a master's reply to ROLE, or `default` for any other reply."""
    if isinstance(role, list) and len(role) == 3 and isinstance(role[2], list):
        return len(role[2])
    return default


def always_synced(config: Reply) -> bool:
    """Return whether a reply to CONFIG GET says that the server syncs every write before it replies."""
    if not isinstance(config, list):
        return False
    settings = dict(zip(config[::2], config[1::2], strict=False))
    return settings.get(b"appendonly") == b"yes" and settings.get(b"appendfsync") == b"always"


def make_level(durability: Durability) -> Level:
    """Return the level of that name with fresh state for one server."""
    levels: dict[Durability, type[Level]] = {"memory": Memory, "replicated": Replicated, "fsynced": Fsynced}
    return levels[durability]()
