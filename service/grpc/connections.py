"""The connections of the gRPC server: an address may have so many, and those that stall are closed.

The library neither tells of a connection nor closes one. Their sockets are among the open files of the process, though,
and one that is shut down there ends as if its client had gone.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator

from service.application.access.client_addresses import NO_PROXIES, TrustedProxies, network_of

log = logging.getLogger(__name__)

#: Interval at which the connections are counted.
SWEEP_SECONDS = 0.5
_OPEN_FILES = "/dev/fd"
#: Address and port of a client.
Peer = tuple[str, int]
_MAPPED = "::ffff:"


def peer_of(host: str, port: int) -> Peer:
    """Return a peer in one form, whichever way its IPv4 address or the scope of its IPv6 address is written."""
    host = host.partition("%")[0]
    return (host.removeprefix(_MAPPED) if "." in host else host), port


class Connections:
    """Bound on the connections to a port. That of an address does not hold for `proxies`."""

    def __init__(self, port: int, max_per_address: int, proxies: TrustedProxies = NO_PROXIES) -> None:
        self._busy: Counter[Peer] = Counter()
        self._port = port
        self._max_per_address = max_per_address
        self._proxies = proxies

    @contextlib.contextmanager
    def calling(self, peer: Peer) -> Iterator[None]:
        """Count a call on the connection of a client while it is under way."""
        self._busy[peer] += 1
        try:
            yield
        finally:
            self._busy[peer] -= 1
            if not self._busy[peer]:
                del self._busy[peer]

    async def bound(self) -> None:
        """Close the connections beyond the bound of an address, until cancelled: first those without a call."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if len(_open_files()) > self._max_per_address:
                closed = await asyncio.to_thread(self._shut, self._excess)
                if closed:
                    log.warning("too many gRPC connections of an address", extra={"closed": closed})

    async def close(self, peer: Peer) -> None:
        """Close the connection of a client."""
        await asyncio.to_thread(self._shut, lambda peers: peers & {peer})

    def _excess(self, peers: set[Peer]) -> set[Peer]:
        counts: Counter[str] = Counter()
        excess = set[Peer]()
        for peer in sorted(peers, key=lambda peer: -self._busy[peer]):
            counts[network_of(peer[0])] += 1
            if counts[network_of(peer[0])] > self._max_per_address and not self._proxies.trusts(peer[0]):
                excess.add(peer)
        return excess

    def _shut(self, choose: Callable[[set[Peer]], set[Peer]]) -> int:
        """Shut the sockets of the chosen peers down, and return their number."""
        chosen = choose({peer for peer, _ in sockets_of(self._port)})
        for peer, own in sockets_of(self._port) if chosen else ():
            if peer in chosen:
                with contextlib.suppress(OSError):
                    own.shutdown(socket.SHUT_RDWR)
        return len(chosen)


def sockets_of(port: int) -> Iterator[tuple[Peer, socket.socket]]:
    """Yield the peer and the socket of each connection to a port, which is a duplicate and closed afterwards."""
    for name in _open_files():
        own = _duplicate(int(name))
        if own is None:
            continue
        with own, contextlib.suppress(OSError):
            if own.family in {socket.AF_INET, socket.AF_INET6} and own.getsockname()[1] == port:
                yield peer_of(*own.getpeername()[:2]), own


def _open_files() -> list[str]:
    """Return the numbers of the open files, none if there is no room to open the folder that has them."""
    try:
        return os.listdir(_OPEN_FILES)  # noqa: PTH208 - no objects are needed for 10,000 names
    except OSError:
        return []


def _duplicate(number: int) -> socket.socket | None:
    """Return a duplicate of an open file, which cannot become another one meanwhile; None if it is no socket."""
    try:
        copy = os.dup(number)
    except OSError:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None
