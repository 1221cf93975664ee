"""Table of a worker's open connections: it bounds their number, and closes those whose time is over."""

import asyncio
import ipaddress
from collections import deque
from collections.abc import Hashable
from itertools import islice
from typing import Protocol, TypeAlias

from service.domain.shares import Shares
from service.process.connections.limits import SPARE_CONNECTIONS, ConnectionLimits
from service.process.connections.reading import ReadingProgress
from service.process.connections.refusals import UNREAD

#: Interval at which all connections are compared with the clock. A timer for each of them would cost more.
SWEEP_SECONDS = 0.5
#: Maximum number of connections that expire at once, and the time until the next ones do: each may need an answer.
EXPIRE_AT_ONCE = 8
EXPIRE_SECONDS = 0.02
#: Number of connections that are examined to find one whose place a new connection can take.
MAX_EXAMINED = 16
#: Maximum number of connections that begin with a pipelined request in one turn of the event loop. Between two turns,
#: clients that wait for their answers are served.
RESUME_PER_TURN = 8
#: Maximum number of bytes of answers that clients have not read, of all connections together.
MAX_UNREAD_BYTES = 64 * 2**20
#: Maximum number of bytes that wait behind requests in progress, of all connections together.
MAX_PIPELINED_BYTES = 16 * 2**20
#: Maximum number of bytes of long WebSocket messages that are not complete, of all connections together. Addresses of
#: clients share them.
MAX_MESSAGE_BYTES = 64 * 2**20


class Connection(Protocol):
    """A connection in the table. `deadline` is on the clock of the event loop; `client` is its address and port."""

    client: tuple[str, int] | None
    deadline: float
    spare: bool

    @property
    def reading(self) -> ReadingProgress: ...

    def expire(self) -> None:
        """End what has lasted until `deadline`."""

    def resume(self) -> None:
        """Begin with the next request of those that were received behind another one."""

    def may_be_evicted(self, now: float) -> bool:
        """Return whether the client has sent no request for so long that another one may have its place."""

    def evict(self) -> None:
        """Close the connection, with an answer if its client waits for one."""

    def check_unread(self, now: float) -> int:
        """Return the number of bytes that the client has not read; abort the connection if it reads too slowly."""

    def abort(self, reason: str) -> None:
        """Close the connection at once, and drop what its client has not read."""


#: Connections of one client, in the order in which they are examined.
Peers: TypeAlias = dict[Connection, None]


class ConnectionTable:
    """Table of open connections. Use it within the event loop.

    A new connection for which there is no room is `spare`. A few spare ones are open at a time, the oldest gives way to
    the next. So each client that connects is answered, if only that there is no room.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.pipelined_bytes = 0
        self.waiting_bodies = 0
        self.pausing_websockets = 0
        self.message_bytes = Shares(MAX_MESSAGE_BYTES)
        self._loop = asyncio.get_running_loop()
        self._connections: dict[Connection, Hashable] = {}
        self._peers: dict[Hashable, Peers] = {}
        self._admitted = 0
        self._spare: Peers = {}
        self._resuming: deque[Connection] = deque()
        self._sweeping = False
        self._bound_unread_at = 0.0

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        """Add a connection, and mark it as spare if there is no room for it."""
        address = self._connections[connection] = network_of(connection.client)
        connection.spare = not self._has_room(address, connection.client)
        if connection.spare:
            self._spare[connection] = None
            if len(self._spare) > SPARE_CONNECTIONS:
                oldest = next(iter(self._spare))
                del self._spare[oldest]
                oldest.evict()
        else:
            self._admitted += 1
            self._peers.setdefault(address, {})[connection] = None
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def discard(self, connection: Connection) -> None:
        """Remove a connection that is closed."""
        self._release(connection)
        self._connections.pop(connection, None)
        self._spare.pop(connection, None)

    def replace(self, connection: Connection, successor: Connection) -> None:
        """Give the place of a connection to the protocol that takes it over."""
        address = self._connections.pop(connection)
        self._connections[successor] = address
        peers = self._peers[address]
        del peers[connection]
        peers[successor] = None

    def resume_soon(self, connection: Connection) -> None:
        """Have a connection begin with its next request when its turn comes."""
        if not self._resuming:
            self._loop.call_soon(self._resume_some)
        self._resuming.append(connection)

    def _resume_some(self) -> None:
        for _ in range(min(RESUME_PER_TURN, len(self._resuming))):
            self._resuming.popleft().resume()
        if self._resuming:
            self._loop.call_soon(self._resume_some)

    def _has_room(self, address: Hashable, client: tuple[str, int] | None) -> bool:
        """Return whether there is room for another connection of a client, perhaps in the place of one that is idle."""
        peers = self._peers.get(address, {})
        if len(peers) >= self.limits.max_connections_per_address and not self._is_shared(client):
            return self._make_room(peers)
        if self._admitted < self.limits.max_connections:
            return True
        return self._make_room(max(self._peers.values(), key=len))  # a client with fewer ones is not affected

    def _is_shared(self, client: tuple[str, int] | None) -> bool:
        """Return whether many clients come from an address, since it is that of a trusted proxy, or is not known."""
        return client is None or self.limits.proxies.trusts(client[0])

    def _make_room(self, peers: Peers) -> bool:
        """Evict a connection that waits for its client, if there is one among those that are examined next."""
        now = self._loop.time()
        for connection in list(islice(peers, MAX_EXAMINED)):
            if connection.may_be_evicted(now):
                self._release(connection)
                connection.evict()
                return True
            del peers[connection]
            peers[connection] = None  # the others are examined first next time
        return False

    def _release(self, connection: Connection) -> None:
        """Give the place of a connection to others."""
        address = self._connections.get(connection)
        peers = self._peers.get(address, {})
        if connection in peers:
            del peers[connection]
            self._admitted -= 1
            if not peers:
                del self._peers[address]

    def _sweep(self) -> None:
        self._sweeping = bool(self._connections)
        if not self._sweeping:
            return
        now = self._loop.time()
        expired = [connection for connection in self._connections if connection.deadline <= now]
        # First of all, so that an error below does not end the sweeps.
        self._loop.call_later(EXPIRE_SECONDS if len(expired) > EXPIRE_AT_ONCE else SWEEP_SECONDS, self._sweep)
        for connection in expired[:EXPIRE_AT_ONCE]:
            connection.expire()
        if now >= self._bound_unread_at:
            self._bound_unread_at = now + SWEEP_SECONDS / 2
            self._bound_unread(now)

    def _bound_unread(self, now: float) -> None:
        """Abort connections of clients that read too slowly, and of those that stall if all have too much to read."""
        sizes = {connection: connection.check_unread(now) for connection in list(self._connections)}
        unread = sum(sizes.values())
        if unread <= MAX_UNREAD_BYTES:
            return
        for connection in sorted(filter(sizes.get, sizes), key=lambda connection: connection.reading.stalled_since):
            connection.abort(UNREAD)
            unread -= sizes[connection]
            if unread <= MAX_UNREAD_BYTES:
                break


def network_of(client: tuple[str, int] | None) -> Hashable:
    """Return what stands for a client: its IPv4 address, or its /64 network of IPv6, which one client has to itself."""
    if client is None or ":" not in client[0]:
        return client and client[0]
    address = ipaddress.IPv6Address(client[0].partition("%")[0])
    return str(address.ipv4_mapped) if address.ipv4_mapped else address.packed[:8]
