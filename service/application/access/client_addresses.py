"""Addresses of clients, which stand for tenants where the service has no keys."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

#: Length of the part of an IPv6 address that names a network. One client may use every address of its network.
IPV6_NETWORK_BITS = 64


@lru_cache(4096)
def network_of(host: str) -> str:
    """Return what stands for the client at an address: the address itself if it is IPv4, or its network of IPv6."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_NETWORK_BITS), strict=False))


class TrustedProxies:
    """Addresses and networks of the proxies whose header X-Forwarded-For tells the addresses of clients."""

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(address, strict=False) for address in addresses]
        self.trusts = lru_cache(4096)(self._trusts)

    def _trusts(self, host: str) -> bool:
        """Return whether an address is one of a trusted proxy."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)

    def client_of(self, host: str, forwarded: str) -> str:
        """Return the address of the client of a connection from `host` with X-Forwarded-For, which may be empty.

        Each proxy appends the address that it was called from. So the client is the last one that is no trusted proxy;
        what stands before it is the client's own word.
        """
        if not (self._networks and forwarded and self.trusts(host)):
            return host
        hosts = [_without_port(part.strip()) for part in forwarded.split(",")]
        return next((name for name in reversed(hosts) if not self.trusts(name)), hosts[0]) or host


#: All addresses are those of the clients themselves.
NO_PROXIES = TrustedProxies()


def _without_port(host: str) -> str:
    """Return an address without brackets and port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
