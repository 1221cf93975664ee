"""API keys and the tenants that they stand for."""

import pytest
from starlette.types import Scope

from service.domain.errors import InvalidApiKey, MissingApiKey, RateLimited
from service.http.middleware.authorization.authentication import PUBLIC, Authenticator
from tests.fakes import ManualClock

KEYS = {"secret": "ada", "schlüssel": "bob"}
SCOPE: Scope = {"type": "http", "client": ("192.0.2.1", 1234)}
WRONG = {b"x-api-key": b"wrong"}
RIGHT = {b"x-api-key": b"secret"}


def authenticate(headers: dict[bytes, bytes], keys: dict[str, str]) -> str:
    return Authenticator(keys, 3).authenticate(SCOPE, headers)


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


@pytest.mark.parametrize("key", [b"Secret", b"secret2", b"secre", b"\xff", "é".encode(), b"x" * 1_000_000, b"\0"])
def test_a_key_that_is_not_configured_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidApiKey):
        authenticate({b"x-api-key": key}, KEYS)


def test_an_address_that_sends_many_wrong_keys_is_told_to_wait() -> None:
    clock = ManualClock()
    authenticator = Authenticator(KEYS, 2, clock.monotonic)
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            authenticator.authenticate(SCOPE, WRONG)
    clock.seconds += 20
    with pytest.raises(RateLimited, match="3 wrong API keys within 60 s: expected at most 2") as refused:
        authenticator.authenticate(SCOPE, WRONG)
    assert refused.value.retry_after == 40
    clock.seconds += 40
    with pytest.raises(InvalidApiKey):
        authenticator.authenticate(SCOPE, WRONG)


def test_a_right_key_is_accepted_from_an_address_that_sends_many_wrong_ones() -> None:
    authenticator = Authenticator(KEYS, 1)
    for _ in range(5):
        with pytest.raises((InvalidApiKey, RateLimited)):
            authenticator.authenticate(SCOPE, WRONG)
    assert authenticator.authenticate(SCOPE, RIGHT) == "ada"


def test_requests_without_a_key_are_no_wrong_keys() -> None:
    authenticator = Authenticator(KEYS, 1)
    for _ in range(5):
        with pytest.raises(MissingApiKey):
            authenticator.authenticate(SCOPE, {})
