"""What a call tells of its client."""

import pytest

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
