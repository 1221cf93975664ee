"""Host names of requests: parsing, loopback names, and patterns that they match."""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

#: The value of a Host header, and the part of an origin behind its scheme.
AUTHORITY = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
#: Names that browsers resolve to a loopback address without asking a name server.
LOOPBACK_NAMES = ("localhost", "*.localhost")


class Authority(NamedTuple):
    """A host name in lower case, IPv6 addresses without brackets, and its port."""

    host: str
    port: int | None


def parse_authority(value: bytes) -> Authority | None:
    """Return the host and the port that a header names, or None if it names none."""
    match = AUTHORITY.fullmatch(value.decode("latin-1").lower())
    if match is None:
        return None
    host, port = match.groups()
    return Authority(host.strip("[]").removesuffix("."), None if port is None else int(port))


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or a name that stands for one."""
    if matches(host, LOOPBACK_NAMES):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_wildcard(host: str) -> bool:
    """Return whether a server that listens on `host` listens on all addresses of its machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host in {"", "0"}


def matches(host: str, patterns: Iterable[str]) -> bool:
    """Return whether a host is one of `patterns`, of which `*` matches all and `*.NAME` all names below NAME."""
    return any(
        pattern in {"*", host} or (pattern.startswith("*.") and host.endswith(pattern[1:])) for pattern in patterns
    )
