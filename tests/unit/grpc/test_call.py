"""What a call tells of its client."""

import pytest

from service.application.access.client_addresses import TrustedProxies

call = pytest.importorskip("service.grpc.call", reason="grpcio is not installed")


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:192.0.2.1:4711", ("192.0.2.1", 4711)),
        ("ipv6:%5B2001:db8::1%5D:4711", ("2001:db8::1", 4711)),
        ("ipv6:[fe80::1%2]:4711", ("fe80::1", 4711)),
        ("ipv6:[::ffff:192.0.2.1]:4711", ("192.0.2.1", 4711)),
        ("unix:/run/socket", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_the_peer_of_a_call(peer: str, expected: tuple[str, int]) -> None:
    assert call.client_peer(peer) == expected


@pytest.mark.parametrize("given", [None, "", "a\nb", "x" * 257, b"bytes"])
def test_a_request_id_that_is_missing_or_not_printable_is_replaced(given: object) -> None:
    assert call.request_id({"x-request-id": given}).startswith("req_")
    assert call.request_id({"x-request-id": "mine"}) == "mine"


class Context:
    """A call from a peer, with several metadata of one name."""

    def __init__(self, peer: str, *forwarded: str) -> None:
        self._peer, self._forwarded = peer, forwarded

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("x-forwarded-for", value) for value in self._forwarded]


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:10.1.2.3:1", "192.0.2.1"), ("ipv6:[::ffff:10.1.2.3]:1", "192.0.2.1"), ("ipv4:192.0.2.9:1", "192.0.2.9")],
)
def test_the_address_behind_a_trusted_proxy_is_the_last_that_is_none(peer: str, address: str) -> None:
    context = Context(peer, "198.51.100.1", "192.0.2.1, 10.9.9.9")
    assert call.Call(context, "/route", TrustedProxies(["10.0.0.0/8"])).address == address
    assert call.Call(context, "/route").address == call.client_peer(peer)[0]
