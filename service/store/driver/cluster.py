"""A cluster: 16,384 slots, each served by one of several masters, between which they move."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import TypeAlias, cast

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from service.store.driver.commands import Reply
from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node, Nodes
from service.store.driver.pipeline import execute_pipeline
from service.store.driver.topology import ReplicaCount, Retry
from service.store.driver.url import StoreUrl

# Host, port, and more about a server.
_SlotOwner: TypeAlias = "list[bytes | int | None]"
# A server that hangs must leave time to ask the others.
_SERVER_TIMEOUT_FRACTION = 0.2


class Cluster:
    """Slots and their masters, as any server of the cluster tells and redirections correct."""

    def __init__(self, address: StoreUrl, timeout: float, connections: int) -> None:
        self._nodes = Nodes(address.options, timeout, connections)
        self._patience = timeout * _SERVER_TIMEOUT_FRACTION
        self._seeds = [self._nodes.at(*host) for host in address.hosts]
        self._owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._replicas: dict[Node, int] = {}
        self._looks = 0
        self._doubted: set[Node] = set()
        self._asking = asyncio.Lock()
        self._told_at = float("-inf")

    def home(self, key: str | None) -> str:
        owner = self._owner(key)
        return owner.name if owner else ""

    async def node(self, key: str | None, deadline: float) -> Node:
        if self._told_at == float("-inf"):
            await self.refresh(deadline)
        owner = self._owner(key)
        if owner is None:
            raise ReplyLost("no server of the cluster serves the key", sent=False)
        return owner

    def again(self, failure: Exception, node: Node | None) -> Retry | None:
        if isinstance(failure, AskError):  # MovedError is one
            host, port = failure.node_addr
            told = self._nodes.at(host or (_host(node) if node else ""), port)
            if not isinstance(failure, MovedError):
                return Retry(asking=told)
            self._owners[failure.slot_id] = told
            return Retry()
        if isinstance(failure, ReplyLost) and node is not None:
            self._doubted.add(node)
        waits = (ReplyLost, TryAgainError, ClusterDownError, BusyLoadingError, ReadOnlyError)
        return Retry(later=True) if isinstance(failure, waits) else None

    async def refresh(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        wanted_at = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline), self._asking:
                for node in self._to_ask():
                    if self._told_at >= wanted_at:
                        return
                    (reply,) = await execute_pipeline(node, [("CLUSTER", "SLOTS")], loop.time() + self._patience)
                    self._take(node, reply, loop.time())

    def census(self, node: Node) -> ReplicaCount:
        return ReplicaCount(self._looks, self._replicas.get(node, 0))

    async def masters(self, deadline: float) -> Sequence[Node]:
        await self.node(None, deadline)
        return list(dict.fromkeys(owner for owner in self._owners if owner is not None))

    async def aclose(self) -> None:
        await self._nodes.aclose()

    def _owner(self, key: str | None) -> Node | None:
        if key is not None:
            return self._owners[key_slot(key.encode())]
        known = {owner for owner in self._owners if owner is not None}
        return random.choice(list(known - self._doubted or known)) if known else None

    def _to_ask(self) -> list[Node]:
        """Those that answered last time first; shuffled, so that a server with a view of its own does not prevail."""
        nodes = list(dict.fromkeys([*self._seeds, *(owner for owner in self._owners if owner is not None)]))
        random.shuffle(nodes)
        return sorted(nodes, key=lambda node: node in self._doubted)

    def _take(self, asked: Node, reply: Reply, now: float) -> None:
        if isinstance(reply, ResponseError) or not isinstance(reply, list) or not reply:
            self._doubted.add(asked)
            return
        self._doubted.discard(asked)
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._replicas.clear()
        for first, last, *places in cast("list[tuple[int, int, *tuple[_SlotOwner, ...]]]", reply):
            owner = self._told(places[0], asked)
            owners[first : last + 1] = [owner] * (last + 1 - first)
            self._replicas[owner] = len(places) - 1
        self._owners = owners
        self._looks += 1
        self._told_at = now

    def _told(self, place: _SlotOwner, asked: Node) -> Node:
        """The server at host and port; without a host, at the one that was asked."""
        host = place[0].decode() if isinstance(place[0], bytes) else ""
        return self._nodes.at(host if host not in ("", "?") else _host(asked), cast("int", place[1]))


def _host(node: Node) -> str:
    return node.name.rpartition(":")[0]
