"""Addresses of clients behind proxies that are trusted, and of those that pretend to be."""

import pytest

from service.application.access.client_addresses import NO_PROXIES, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8::1"])


@pytest.mark.parametrize(
    ("host", "forwarded", "client"),
    [
        ("10.1.2.3", "192.0.2.1", "192.0.2.1"),
        ("10.1.2.3", "192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:10.1.2.3", "192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::2]:4711", "2001:db8::2"),
        ("10.1.2.3", "2001:db8::2", "2001:db8::2"),
        # What a client claims stands in front of what the proxies have seen.
        ("10.1.2.3", "198.51.100.9, 192.0.2.1", "192.0.2.1"),
        ("10.1.2.3", "10.9.9.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        # Without a proxy in front it is the client's own word.
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", " , ", "10.1.2.3"),
        ("10.1.2.3", "10.0.0.5", "10.0.0.5"),
        ("", "192.0.2.1", ""),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(host: str, forwarded: str, client: str) -> None:
    assert PROXIES.client_of(host, forwarded) == client


def test_by_default_no_header_is_believed() -> None:
    assert NO_PROXIES.client_of("127.0.0.1", "192.0.2.1") == "127.0.0.1"
    assert not NO_PROXIES.trusts("127.0.0.1")
