"""API keys in the headers of requests."""

import pytest

from service.http.middleware.authorization.addresses import client_address
from service.http.middleware.authorization.authentication import request_key


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({b"authorization": b"Bearer secret"}, b"secret"),
        ({b"authorization": b"bearer  secret "}, b"secret"),
        ({b"x-api-key": b"secret"}, b"secret"),
        ({b"authorization": b"Basic abc", b"x-api-key": b"secret"}, b"secret"),
        ({b"x-api-key": "schlüssel".encode("latin-1")}, "schlüssel".encode("latin-1")),
        ({}, b""),
        ({b"authorization": b"Bearer "}, b""),
        ({b"x-api-key": b""}, b""),
    ],
)
def test_a_key_is_read_from_either_header(headers: dict[bytes, bytes], key: bytes) -> None:
    assert request_key(headers) == key


def test_clients_whose_address_is_not_known_are_one() -> None:
    assert client_address({"client": None}) == client_address({"client": ("", 1)}) == ""
