"""Addresses of clients, which stand for tenants where the service has no keys."""

import ipaddress
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
