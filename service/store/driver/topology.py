"""Which server serves a key, and what to do when it does not answer as hoped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.store.driver.nodes import Node, Nodes


@dataclass(frozen=True, slots=True)
class Retry:
    """How to go on with a command that was refused or lost: at once or `later`, at another server if it names one."""

    later: bool = False
    asking: Node | None = None


RETRY_NOW = Retry()


@dataclass(frozen=True, slots=True)
class ReplicaCount:
    """How many replicas of a server may be promoted in its place, by the last look; `look` tells looks apart."""

    look: int = 0
    replicas: int = 0


class Topology(Protocol):
    """The servers that keep the store. `deadline` is on the event loop's clock, in seconds."""

    def home(self, key: str | None) -> str:
        """The name of the server of `key`, as far as it is known: its calls share round trips."""

    async def node(self, key: str | None, deadline: float) -> Node:
        """The server of `key`; without one, any that can answer. Raises Lost where there is none."""

    def again(self, failure: Exception, node: Node | None) -> Retry | None:
        """What to do after an error reply of `node`, or Lost; None where it stands. Another server may take over."""

    async def refresh(self, deadline: float) -> None:
        """Look who serves what now. Never raises for the store's sake: what is known stays where nobody answers."""

    def census(self, node: Node) -> ReplicaCount:
        """What the last look said of the replicas of `node`."""

    async def masters(self, deadline: float) -> Sequence[Node]:
        """All servers that take writes. Raises Lost where nobody tells them."""

    async def aclose(self) -> None:
        """Close all connections."""


class Standalone:
    """One server, whatever becomes of it."""

    def __init__(self, nodes: Nodes, node: Node) -> None:
        self._nodes = nodes
        self._node = node
        self._looks = 0

    def home(self, key: str | None) -> str:  # noqa: ARG002 - the protocol's argument
        return self._node.name

    async def node(self, key: str | None, deadline: float) -> Node:  # noqa: ARG002 - the protocol's arguments
        return self._node

    def again(self, failure: Exception, node: Node | None) -> Retry | None:  # noqa: ARG002 - the protocol's arguments
        """Nobody else can help, and a client waits better than we do."""
        return None

    async def refresh(self, deadline: float) -> None:  # noqa: ARG002 - the protocol's argument
        """There is nothing to look for, and nobody who would promote a replica without telling."""
        self._looks += 1

    def census(self, node: Node) -> ReplicaCount:  # noqa: ARG002 - the protocol's argument
        return ReplicaCount(self._looks)

    async def masters(self, deadline: float) -> Sequence[Node]:  # noqa: ARG002 - the protocol's argument
        return [self._node]

    async def aclose(self) -> None:
        await self._nodes.aclose()
