"""Addresses of the clients of HTTP requests."""

from starlette.types import Scope

from service.application.access.client_addresses import network_of


def client_address(scope: Scope) -> str:
    """Return the IPv4 address or the IPv6 network of a request's client, or an empty text if it is not known."""
    client = scope.get("client")
    return "" if client is None else network_of(client[0])
