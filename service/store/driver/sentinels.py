"""A master that sentinels watch over, and replace when it is lost."""

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

# A sentinel that hangs must leave time to ask the others.
_SENTINEL_TIMEOUT_FRACTION = 0.2


class Sentinels:
    """The master of that name, asked for anew whenever it was lost or turns out to be a replica."""

    def __init__(self, address: StoreUrl, timeout: float, connections: int) -> None:
        self._name = address.master
        self._nodes = Nodes({**address.options, "redis_connect_func": _on_master}, timeout, connections)
        self._sentinels = Nodes(address.sentinel_options, timeout * _SENTINEL_TIMEOUT_FRACTION, connections)
        self._sentinel = Sentinel([])  # type: ignore[no-untyped-call]
        self._sentinel.sentinels = [self._sentinels.at(*host).client for host in address.hosts]
        self._master: Node | None = None
        self._asking = asyncio.Lock()
        self._told_at = float("-inf")
        self._census = ReplicaCount()

    def home(self, key: str | None) -> str:  # noqa: ARG002 - the protocol's argument
        return self._name

    async def node(self, key: str | None, deadline: float) -> Node:  # noqa: ARG002 - the protocol's argument
        if self._master is None:
            await self.refresh(deadline)
        if self._master is None:
            raise ReplyLost("the sentinels name no master", sent=False)
        return self._master

    def again(self, failure: Exception, node: Node | None) -> Retry | None:
        if not isinstance(failure, ReplyLost | ReadOnlyError | BusyLoadingError | MasterDownError):
            return None
        if node is self._master:
            self._master = None
        return Retry(later=True)

    async def refresh(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        wanted_at = loop.time()
        with contextlib.suppress(RedisError, OSError):  # OSError includes the TimeoutError of the deadline
            async with asyncio.timeout_at(deadline), self._asking:
                if self._told_at < wanted_at:
                    master = await self._sentinel.discover_master(self._name)
                    # The sentinel that knew is the first one now.
                    replicas = await self._sentinel.sentinels[0].sentinel_slaves(self._name)
                    self._census = ReplicaCount(self._census.look + 1, sum(map(_may_be_promoted, replicas)))
                    self._master, self._told_at = self._nodes.at(*master), loop.time()

    def census(self, node: Node) -> ReplicaCount:
        return self._census if node is self._master else ReplicaCount()

    async def masters(self, deadline: float) -> Sequence[Node]:
        return [await self.node(None, deadline)]

    async def aclose(self) -> None:
        await self._nodes.aclose()
        await self._sentinels.aclose()


def _may_be_promoted(replica: Mapping[str, Any]) -> bool:
    lost = replica["is_sdown"] or replica["is_odown"] or replica["is_disconnected"]
    return not lost and replica["master-link-status"] == "ok"


class NoMaster(RedisError):
    """The server is a replica."""


async def _on_master(connection: AbstractConnection) -> None:
    """Greet the server, and refuse it if it is a replica: that would take reads, and answer them with what was."""
    await connection.on_connect()
    await connection.send_command("ROLE")
    role = await connection.read_response()
    if not isinstance(role, list) or role[0] != b"master":
        raise NoMaster("the server that the sentinels name is no master yet")
