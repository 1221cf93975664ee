"""What is sent after the writes of a round trip, and how its replies show that a durability level was reached.

WAIT and WAITAOF cover the writes of their own connection only, so they travel in the pipeline of the writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from redis.exceptions import ResponseError

from service.domain.sessions import Durability
from service.store.driver.commands import Argument, Reply
from service.store.driver.topology import ReplicaCount

Waits: TypeAlias = list[tuple[Argument, ...]]


@dataclass(frozen=True, slots=True)
class DurabilityResult:
    """Why the level was missed, or None; `ask_again` when it may be reached after another look at the servers."""

    missed: str | None = None
    ask_again: bool = False


class Level(Protocol):
    """One durability level."""

    def commands(self, milliseconds: int) -> Waits:
        """What follows the writes, waiting so long at most."""

    def verdict(self, sent: Waits, replies: Sequence[Reply], census: ReplicaCount) -> DurabilityResult:
        """What the replies to the `commands` that were sent say."""


class Memory:
    """Nothing to wait for: the server took the write."""

    def commands(self, milliseconds: int) -> Waits:  # noqa: ARG002 - the protocol's argument
        """Nothing."""
        return []

    def verdict(self, sent: Waits, replies: Sequence[Reply], census: ReplicaCount) -> DurabilityResult:  # noqa: ARG002 - the protocol's arguments
        """Always reached."""
        return DurabilityResult()


class Replicated:
    """All replicas connected now, at least one, have the write. ROLE beside WAIT keeps their number up to date.

    A replica that is promoted leaves its master before that one hears of it: what fewer replicas confirm than there
    were, or than those who promote count on, may be lost. So a number that falls is believed after a new look only.
    """

    def __init__(self) -> None:
        self._connected: int | None = None
        self._most = 0
        self._look = -1

    def commands(self, milliseconds: int) -> Waits:
        """Wait for as many replicas as were last seen, and look how many there are. For none, do not wait."""
        return [("WAIT", max(1, self._connected or 1), 1 if self._connected == 0 else milliseconds), ("ROLE",)]

    def verdict(self, sent: Waits, replies: Sequence[Reply], census: ReplicaCount) -> DurabilityResult:
        """Reached when as many have confirmed as are connected, and as may be promoted."""
        acknowledged, role = replies
        _, asked, milliseconds = sent[0]
        if isinstance(role, list) and len(role) == 3 and isinstance(role[2], list):
            self._connected = len(role[2])
        if not isinstance(acknowledged, int):
            return DurabilityResult("the store does not answer WAIT")
        connected = self._connected or 0
        self._most = connected if census.look != self._look else max(self._most, connected)
        self._look = census.look
        expected = max(1, self._most, census.replicas)
        if acknowledged >= expected:
            return DurabilityResult()
        missed = f"{acknowledged} replicas confirmed the write in time, expected {expected}"
        newly_seen = connected > int(asked) or (milliseconds == 1 and connected > 0)
        return DurabilityResult(missed, ask_again=newly_seen or expected > max(1, connected))


class Fsynced:
    """The server's own disk has the write: WAITAOF says so, or an append-only file that is synced at each write."""

    def __init__(self) -> None:
        self._lacks_waitaof = False

    def commands(self, milliseconds: int) -> Waits:
        """Wait for the disk; of a server that cannot, see whether it never answers before its disk."""
        wait: Waits = [("WAITAOF", 1, 0, milliseconds)]
        return [*wait, ("CONFIG", "GET", "append*")] if self._lacks_waitaof else wait

    def verdict(self, sent: Waits, replies: Sequence[Reply], census: ReplicaCount) -> DurabilityResult:  # noqa: ARG002 - the protocol's argument
        """Reached when the local count is 1, or the server syncs before it answers."""
        counts = replies[0]
        if isinstance(counts, list):
            return (
                DurabilityResult()
                if counts[0] == 1
                else DurabilityResult("the append-only file was not synced in time")
            )
        if len(replies) > 1:
            return (
                DurabilityResult()
                if _always_synced(replies[1])
                else DurabilityResult("the store has neither WAITAOF nor AOF always")
            )
        if isinstance(counts, ResponseError) and "unknown command" in str(counts).lower():
            self._lacks_waitaof = True
            return DurabilityResult("the store has no WAITAOF", ask_again=True)
        return DurabilityResult("the store does not answer WAITAOF, is its append-only file on?")


def _always_synced(config: Reply) -> bool:
    if not isinstance(config, list):
        return False
    settings = dict(zip(config[::2], config[1::2], strict=False))
    return settings.get(b"appendonly") == b"yes" and settings.get(b"appendfsync") == b"always"


def make_level(durability: Durability) -> Level:
    """The level of that name."""
    levels: dict[Durability, type[Level]] = {"memory": Memory, "replicated": Replicated, "fsynced": Fsynced}
    return levels[durability]()
