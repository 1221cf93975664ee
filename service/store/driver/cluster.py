"""Cluster topology: 16,384 slots, each served by one of several masters, between which slots move."""

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

# Host and port of a server, and what CLUSTER SLOTS adds to them.
_ServerEntry: TypeAlias = "list[bytes | int | None]"
# A server that does not reply must leave time to query the others.
_SERVER_TIMEOUT_FRACTION = 0.2
_TEMPORARY = (ReplyLost, TryAgainError, ClusterDownError, BusyLoadingError, ReadOnlyError)


class Cluster:
    """The masters of all slots, read from any server of the cluster by CLUSTER SLOTS and corrected by redirections."""

    def __init__(self, address: StoreUrl, timeout: float, connections: int) -> None:
        self._nodes = Nodes(address.options, timeout, connections)
        self._query_timeout = timeout * _SERVER_TIMEOUT_FRACTION
        self._seeds = [self._nodes.at(*host) for host in address.hosts]
        self._owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._replicas: dict[Node, int] = {}
        self._refreshes = 0
        self._suspects: set[Node] = set()
        self._refresh_lock = asyncio.Lock()
        self._refreshed_at = float("-inf")

    def shard_of(self, key: str | None) -> str:
        owner = self.known_node(key)
        return owner.name if owner else ""

    def known_node(self, key: str | None) -> Node | None:
        if key is not None:
            return self._owners[key_slot(key.encode())]
        masters = {owner for owner in self._owners if owner is not None}
        return random.choice(list(masters - self._suspects or masters)) if masters else None

    async def node(self, key: str | None, deadline: float) -> Node:
        if self._refreshed_at == float("-inf"):
            await self.refresh(deadline)
        owner = self.known_node(key)
        if owner is None:
            raise ReplyLost("no server of the cluster serves the key", sent=False)
        return owner

    def retry(self, failure: Exception, node: Node | None) -> tuple[Retry, Node | None]:
        if isinstance(failure, AskError):  # MovedError is a subclass
            host, port = failure.node_addr
            target = self._nodes.at(host or (_host(node) if node else ""), port)
            if not isinstance(failure, MovedError):
                return Retry.NOW, target
            self._owners[failure.slot_id] = target
            return Retry.NOW, None
        if isinstance(failure, ReplyLost) and node is not None:
            self._suspects.add(node)
        return (Retry.AFTER_REFRESH if isinstance(failure, _TEMPORARY) else Retry.NO), None

    async def refresh(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        requested_at = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline), self._refresh_lock:
                for node in self._query_order():
                    if self._refreshed_at >= requested_at:
                        return
                    (reply,) = await execute_pipeline(node, [("CLUSTER", "SLOTS")], loop.time() + self._query_timeout)
                    self._update(node, reply, loop.time())

    def replica_count(self, node: Node) -> ReplicaCount:
        return ReplicaCount(self._refreshes, self._replicas.get(node, 0))

    async def masters(self, deadline: float) -> Sequence[Node]:
        await self.node(None, deadline)
        return list(dict.fromkeys(owner for owner in self._owners if owner is not None))

    async def aclose(self) -> None:
        await self._nodes.aclose()

    def _query_order(self) -> list[Node]:
        """Return all known servers in random order, suspects last, so that no server with a stale view prevails."""
        nodes = list(dict.fromkeys([*self._seeds, *(owner for owner in self._owners if owner is not None)]))
        random.shuffle(nodes)
        return sorted(nodes, key=lambda node: node in self._suspects)

    def _update(self, source: Node, reply: Reply, now: float) -> None:
        if isinstance(reply, ResponseError) or not isinstance(reply, list) or not reply:
            self._suspects.add(source)
            return
        self._suspects.discard(source)
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._replicas.clear()
        for first, last, *servers in cast("list[tuple[int, int, *tuple[_ServerEntry, ...]]]", reply):
            owner = self._server_at(servers[0], source)
            owners[first : last + 1] = [owner] * (last + 1 - first)
            self._replicas[owner] = len(servers) - 1
        self._owners = owners
        self._refreshes += 1
        self._refreshed_at = now

    def _server_at(self, entry: _ServerEntry, source: Node) -> Node:
        """Return the server of an entry of CLUSTER SLOTS. An entry without a host means the host of `source`."""
        host = entry[0].decode() if isinstance(entry[0], bytes) else ""
        return self._nodes.at(host if host not in ("", "?") else _host(source), cast("int", entry[1]))


def _host(node: Node) -> str:
    return node.name.rpartition(":")[0]
