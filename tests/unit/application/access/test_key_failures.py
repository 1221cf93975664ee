"""Wrong keys are counted by address."""

import logging

import pytest

from service.application.access import key_failures
from service.application.access.client_addresses import network_of
from service.application.access.key_failures import KeyFailures
from service.domain.errors import RateLimited
from tests.fakes import ManualClock


def fails(failures: KeyFailures, address: str) -> bool:
    """Record a wrong key, and return whether it was one too many."""
    try:
        failures.record_wrong(address)
    except RateLimited:
        return True
    return False


def test_addresses_are_counted_apart() -> None:
    failures = KeyFailures(1, ManualClock().monotonic)
    assert [fails(failures, address) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [False, False, True]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_an_ipv6_network_counts_as_one_address(first: str, second: str, same: bool) -> None:
    failures = KeyFailures(1, ManualClock().monotonic)
    assert not fails(failures, network_of(first))
    assert fails(failures, network_of(second)) is same


def test_the_number_of_counted_addresses_is_bounded_and_the_oldest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_failures, "MAX_ADDRESSES", 2)
    failures = KeyFailures(1, ManualClock().monotonic)
    for number in range(3):
        assert not fails(failures, f"192.0.2.{number}")
    assert fails(failures, "192.0.2.2")
    assert not fails(failures, "192.0.2.0")


def test_an_address_is_logged_once_in_a_window(caplog: pytest.LogCaptureFixture) -> None:
    failures = KeyFailures(1, ManualClock().monotonic)
    for _ in range(5):
        fails(failures, "192.0.2.1")
    (line,) = caplog.records
    assert (line.message, line.levelno) == ("many wrong API keys", logging.WARNING)
    assert line.__dict__["address"] == "192.0.2.1"


def test_refusals_beyond_the_limit_are_held_back_further_and_further() -> None:
    clock = ManualClock()
    failures = KeyFailures(2, clock.monotonic)
    delays = []
    for number in range(5):
        fails(failures, "192.0.2.1") if number % 2 else failures.record_missing("192.0.2.1")
        delays.append(failures.delay("192.0.2.1"))
    assert delays == pytest.approx([0, 0, 0, 0.02, 0.04])
    assert failures.delay("192.0.2.2") == 0
    clock.seconds += 1
    failures.record_missing("192.0.2.1")
    assert failures.delay("192.0.2.1") == 0


def test_no_refusal_is_held_back_for_longer_than_ten_seconds() -> None:
    failures = KeyFailures(0, ManualClock().monotonic)
    for _ in range(1000):
        failures.record_missing("192.0.2.1")
        delay = failures.delay("192.0.2.1")
    assert delay == pytest.approx(10)
