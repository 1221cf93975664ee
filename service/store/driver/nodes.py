"""Connection pools, one per Redis server; redis-py's own retries are off."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.store.driver.url import StoreUrl


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One server. Commands use the pool of `client`, not the client itself, which would repeat failed commands."""

    name: str
    client: Redis


class Nodes:
    """Servers by address, all reached with the same connection options.

    Each wait of a connection ends after `timeout` seconds. A server gets up to `connections` connections; further
    callers wait for a free one.
    """

    def __init__(self, options: Mapping[str, Any], timeout: float, connections: int) -> None:
        self._options = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            # The executor knows which commands can be sent again, the driver does not.
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **options,
        }
        self._timeout = timeout
        self._connections = connections
        self._by_name: dict[str, Node] = {}

    def at(self, host: str, port: int) -> Node:
        """Return the server at an address. It is kept when it is gone, because it may come back."""
        return self._named(f"{host}:{port}", {"host": host, "port": port})

    def from_url(self, address: StoreUrl) -> Node:
        """Return the server of a URL that names a single one."""
        return self.at(*address.hosts[0]) if address.hosts else self._named("socket", {})

    def _named(self, name: str, location: Mapping[str, Any]) -> Node:
        if name not in self._by_name:
            pool = BlockingConnectionPool(
                max_connections=self._connections, timeout=self._timeout, **self._options, **location
            )
            self._by_name[name] = Node(name, Redis.from_pool(pool))
        return self._by_name[name]

    async def aclose(self) -> None:
        """Close all connections, even if some fail to close. Raises the failure of one of them."""
        async with AsyncExitStack() as stack:
            for node in self._by_name.values():
                stack.push_async_callback(node.client.aclose)
