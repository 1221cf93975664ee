"""Addresses of clients, which stand for tenants where the service has no keys."""

import ipaddress
from functools import lru_cache

from starlette.types import Scope

#: Length of the part of an IPv6 address that names a network. One client may use every address of its network.
IPV6_NETWORK_BITS = 64


def client_address(scope: Scope) -> str:
    """Return the IPv4 address or the IPv6 network of a request's client, or an empty text if it is not known."""
    client = scope.get("client")
    return "" if client is None else _network(client[0])


@lru_cache(4096)
def _network(host: str) -> str:
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_NETWORK_BITS), strict=False))
