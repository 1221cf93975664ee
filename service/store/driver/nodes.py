"""Servers, each with its own pool of connections; every wait bounded and nothing sent twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.store.driver.url import StoreUrl


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One server. What is sent goes over `client`'s pool, never through the client itself: that would send it again."""

    name: str
    client: Redis


class Nodes:
    """The servers at any addresses, reached by the same options.

    Each wait of a connection ends after `timeout` seconds; a server has up to `connections`, and further callers wait
    for a free one.
    """

    def __init__(self, options: Mapping[str, Any], timeout: float, connections: int) -> None:
        self._options = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            # The store knows which commands can be sent again, the driver does not.
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **options,
        }
        self._timeout = timeout
        self._connections = connections
        self._by_name: dict[str, Node] = {}

    def at(self, host: str, port: int) -> Node:
        """The server there. It stays known when it is gone: its pool is empty then, and it may come back."""
        return self._named(f"{host}:{port}", {"host": host, "port": port})

    def only(self, address: StoreUrl) -> Node:
        """The server of an address that names one."""
        return self.at(*address.hosts[0]) if address.hosts else self._named("socket", {})

    def _named(self, name: str, place: Mapping[str, Any]) -> Node:
        if name not in self._by_name:
            pool = BlockingConnectionPool(
                max_connections=self._connections, timeout=self._timeout, **self._options, **place
            )
            self._by_name[name] = Node(name, Redis.from_pool(pool))
        return self._by_name[name]

    async def aclose(self) -> None:
        """Close all connections."""
        for node in self._by_name.values():
            await node.client.aclose()
