"""Topology of the store: which server serves a key, and what to do when a command fails there."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from service.store.driver.nodes import Node, Nodes


class Retry(Enum):
    """Decision about a command that was refused or whose reply was lost.

    AFTER_REFRESH means after a pause and a refresh of the topology.
    """

    NO = auto()
    NOW = auto()
    AFTER_REFRESH = auto()


@dataclass(frozen=True, slots=True)
class ReplicaCount:
    """Number of replicas that may be promoted in a server's place, as of the topology's `refreshes`-th refresh."""

    refreshes: int = 0
    replicas: int = 0


class Topology(Protocol):
    """The servers of the store. Deadlines are in seconds on the event loop's clock."""

    def shard_of(self, key: str | None) -> str:
        """Return the name of the server of `key` as far as it is known. Commands of one shard share round trips."""

    def known_node(self, key: str | None) -> Node | None:
        """Return the server of `key` as far as it is known, or None. None as a key means any server."""

    async def node(self, key: str | None, deadline: float) -> Node:
        """Return the server of `key`, or any server for None. Raises ReplyLost if there is none."""

    def retry(self, failure: Exception, node: Node | None) -> tuple[Retry, Node | None]:
        """Return whether to repeat a command after an error reply or ReplyLost, and the server to send ASKING to."""

    async def refresh(self, deadline: float) -> None:
        """Find out again which server serves what. Never raises; the known topology stays if no server answers."""

    def replica_count(self, node: Node) -> ReplicaCount:
        """Return the number of replicas of `node` as of the last refresh."""

    async def masters(self, deadline: float) -> Sequence[Node]:
        """Return all servers that take writes. Raises ReplyLost if they cannot be found out."""

    async def aclose(self) -> None:
        """Close all connections."""


class Standalone:
    """A single server, without failover."""

    def __init__(self, nodes: Nodes, node: Node) -> None:
        self._nodes = nodes
        self._node = node
        self._refreshes = 0

    def shard_of(self, key: str | None) -> str:  # noqa: ARG002 - the protocol's argument
        return self._node.name

    def known_node(self, key: str | None) -> Node | None:  # noqa: ARG002 - the protocol's argument
        return self._node

    async def node(self, key: str | None, deadline: float) -> Node:  # noqa: ARG002 - the protocol's arguments
        return self._node

    def retry(self, failure: Exception, node: Node | None) -> tuple[Retry, Node | None]:  # noqa: ARG002 - the protocol's arguments
        """Return NO: no other server can help, and the client is the better one to wait."""
        return Retry.NO, None

    async def refresh(self, deadline: float) -> None:  # noqa: ARG002 - the protocol's argument
        """Count the refresh: there is nothing to find out, and nothing promotes a replica unnoticed."""
        self._refreshes += 1

    def replica_count(self, node: Node) -> ReplicaCount:  # noqa: ARG002 - the protocol's argument
        return ReplicaCount(self._refreshes)

    async def masters(self, deadline: float) -> Sequence[Node]:  # noqa: ARG002 - the protocol's argument
        return [self._node]

    async def aclose(self) -> None:
        await self._nodes.aclose()
