"""API keys and the tenants that they stand for."""

import pytest

from service.application.access.authenticator import Authenticator
from service.application.access.key_ring import KeyRing
from service.application.access.principal import PUBLIC
from service.domain.errors import InvalidApiKey, MissingApiKey, RateLimited
from tests.fakes import ManualClock

KEYS = {"secret": "ada", "schlüssel": "bob"}
RING = KeyRing(KEYS)
ADDRESS = "192.0.2.1"


def authenticate(key: bytes, keys: dict[str, str]) -> str:
    return Authenticator(KeyRing(keys), 3).authenticate(key, ADDRESS).tenant


def test_without_keys_every_request_belongs_to_one_tenant() -> None:
    assert authenticate(b"whatever", {}) == PUBLIC


def test_a_key_is_that_of_its_tenant() -> None:
    assert authenticate(b"secret", KEYS) == "ada"
    assert authenticate("schlüssel".encode("latin-1"), KEYS) == "bob"


def test_a_request_without_a_key_is_refused() -> None:
    with pytest.raises(MissingApiKey):
        authenticate(b"", KEYS)


@pytest.mark.parametrize("key", [b"Secret", b"secret2", b"secre", b"\xff", "é".encode(), b"x" * 1_000_000, b"\0"])
def test_a_key_that_is_not_configured_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidApiKey):
        authenticate(key, KEYS)


def test_an_address_that_sends_many_wrong_keys_is_told_to_wait() -> None:
    clock = ManualClock()
    authenticator = Authenticator(RING, 2, clock.monotonic)
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            authenticator.authenticate(b"wrong", ADDRESS)
    clock.seconds += 20
    with pytest.raises(RateLimited, match="3 wrong API keys within 60 s: expected at most 2") as refused:
        authenticator.authenticate(b"wrong", ADDRESS)
    assert refused.value.retry_after == 40
    clock.seconds += 40
    with pytest.raises(InvalidApiKey):
        authenticator.authenticate(b"wrong", ADDRESS)


def test_a_right_key_is_accepted_from_an_address_that_sends_many_wrong_ones() -> None:
    authenticator = Authenticator(RING, 1)
    for _ in range(5):
        with pytest.raises((InvalidApiKey, RateLimited)):
            authenticator.authenticate(b"wrong", ADDRESS)
    assert authenticator.authenticate(b"secret", ADDRESS).tenant == "ada"


def test_requests_without_a_key_are_no_wrong_keys() -> None:
    authenticator = Authenticator(RING, 1)
    for _ in range(5):
        with pytest.raises(MissingApiKey):
            authenticator.authenticate(b"", ADDRESS)
