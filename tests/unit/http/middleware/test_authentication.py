"""API keys and the tenants that they stand for."""

import pytest

from service.domain.errors import InvalidApiKey, MissingApiKey
from service.http.middleware.authentication import PUBLIC, authenticate

KEYS = {"secret": "ada", "schlüssel": "bob"}


def test_without_keys_every_request_belongs_to_one_tenant() -> None:
    assert authenticate({b"authorization": b"Bearer whatever"}, {}) == PUBLIC


@pytest.mark.parametrize(
    ("headers", "tenant"),
    [
        ({b"authorization": b"Bearer secret"}, "ada"),
        ({b"authorization": b"bearer  secret "}, "ada"),
        ({b"x-api-key": b"secret"}, "ada"),
        ({b"authorization": b"Basic abc", b"x-api-key": b"secret"}, "ada"),
        ({b"x-api-key": "schlüssel".encode("latin-1")}, "bob"),
    ],
)
def test_a_key_is_read_from_either_header(headers: dict[bytes, bytes], tenant: str) -> None:
    assert authenticate(headers, KEYS) == tenant


@pytest.mark.parametrize("headers", [{}, {b"authorization": b"Bearer "}, {b"x-api-key": b""}])
def test_a_request_without_a_key_is_refused(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(MissingApiKey):
        authenticate(headers, KEYS)


@pytest.mark.parametrize("key", [b"Secret", b"secret2", b"secre", b"\xff"])
def test_a_key_that_is_not_configured_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidApiKey):
        authenticate({b"x-api-key": key}, KEYS)
