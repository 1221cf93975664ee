"""Sentinel topology: one master that sentinels monitor and replace when it is lost."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError, RedisError

from service.store.driver.errors import ReplyLost
from service.store.driver.nodes import Node, Nodes
from service.store.driver.topology import ReplicaCount, Retry
from service.store.driver.url import StoreUrl

# A sentinel that does not reply must leave time to query the others.
_SENTINEL_TIMEOUT_FRACTION = 0.2


class Sentinels:
    """The master of one name, rediscovered whenever it is lost or has become a replica."""

    def __init__(self, address: StoreUrl, timeout: float, connections: int) -> None:
        self._name = address.master
        self._nodes = Nodes({**address.options, "redis_connect_func": _on_master}, timeout, connections)
        self._sentinels = Nodes(address.sentinel_options, timeout * _SENTINEL_TIMEOUT_FRACTION, connections)
        self._sentinel = Sentinel([])  # type: ignore[no-untyped-call]
        self._sentinel.sentinels = [self._sentinels.at(*host).client for host in address.hosts]
        self._master: Node | None = None
        self._refresh_lock = asyncio.Lock()
        self._refreshed_at = float("-inf")
        self._replica_count = ReplicaCount()

    def shard_of(self, key: str | None) -> str:  # noqa: ARG002 - the protocol's argument
        return self._name

    def known_node(self, key: str | None) -> Node | None:  # noqa: ARG002 - the protocol's argument
        return self._master

    async def node(self, key: str | None, deadline: float) -> Node:  # noqa: ARG002 - the protocol's argument
        if self._master is None:
            await self.refresh(deadline)
        if self._master is None:
            raise ReplyLost("the sentinels name no master", sent=False)
        return self._master

    def retry(self, failure: Exception, node: Node | None) -> tuple[Retry, Node | None]:
        if not isinstance(failure, ReplyLost | ReadOnlyError | BusyLoadingError | MasterDownError):
            return Retry.NO, None
        if node is self._master:
            self._master = None
        return Retry.AFTER_REFRESH, None

    async def refresh(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        requested_at = loop.time()
        with contextlib.suppress(RedisError, OSError):  # OSError includes the TimeoutError of the deadline
            async with asyncio.timeout_at(deadline), self._refresh_lock:
                if self._refreshed_at < requested_at:
                    master = await self._sentinel.discover_master(self._name)
                    # The sentinel that replied is the first one now.
                    replicas = await self._sentinel.sentinels[0].sentinel_slaves(self._name)
                    promotable = sum(map(_may_be_promoted, replicas))
                    self._replica_count = ReplicaCount(self._replica_count.refreshes + 1, promotable)
                    self._master, self._refreshed_at = self._nodes.at(*master), loop.time()

    def replica_count(self, node: Node) -> ReplicaCount:
        return self._replica_count if node is self._master else ReplicaCount()

    async def masters(self, deadline: float) -> Sequence[Node]:
        return [await self.node(None, deadline)]

    async def aclose(self) -> None:
        try:
            await self._nodes.aclose()
        finally:
            await self._sentinels.aclose()


def _may_be_promoted(replica: Mapping[str, Any]) -> bool:
    lost = replica["is_sdown"] or replica["is_odown"] or replica["is_disconnected"]
    return not lost and replica["master-link-status"] == "ok"


class NotMaster(RedisError):
    """Error of a connection to a server that is a replica."""


async def _on_master(connection: AbstractConnection) -> None:
    """Set up a connection and reject a replica, which would answer reads with outdated values."""
    await connection.on_connect()
    await connection.send_command("ROLE")
    role = await connection.read_response()
    if not isinstance(role, list) or role[0] != b"master":
        raise NotMaster("the server that the sentinels name is no master yet")
