"""The keys that are valid now, and what becomes of those that were."""

from dataclasses import replace

import pytest

from service.application.access.key_ring import KeyChanges, KeyRing
from service.domain.access.api_keys import ApiKey, digest_of
from service.domain.errors import InvalidApiKey, SettingsError

NOW = 1000
ONE = ApiKey("k1", "alice", digest_of(b"one"), 0)
TWO = ApiKey("k2", "bob", digest_of(b"two"), 0, expires_at=NOW + 1, models=("tiny",))


@pytest.fixture
def ring() -> KeyRing:
    ring = KeyRing({"fixed": "carol"}, has_file=True)
    ring.replace([ONE, TWO], NOW)
    return ring


def test_a_key_of_a_file_stands_for_what_its_entry_allows(ring: KeyRing) -> None:
    one, two, fixed = ring.find(b"one"), ring.find(b"two"), ring.find(b"fixed")
    assert one is not None
    assert two is not None
    assert fixed is not None
    assert (one.tenant, one.key_id, one.models, one.is_admin) == ("alice", "k1", None, False)
    assert (two.tenant, two.models, two.sees("tiny"), two.sees("pair")) == ("bob", frozenset({"tiny"}), True, False)
    assert (fixed.tenant, fixed.key_id) == ("carol", "")
    assert ring.find(b"three") is None
    assert ring.tenants == {"alice", "bob", "carol"}


def test_a_file_without_keys_opens_the_service_to_nobody() -> None:
    ring = KeyRing(has_file=True)
    ring.replace([], NOW)
    assert ring.required
    assert ring.find(b"") is None
    assert not KeyRing().required


def test_a_key_that_is_not_in_the_file_any_more_ends_what_goes_on_with_it(ring: KeyRing) -> None:
    one, fixed = ring.find(b"one"), ring.find(b"fixed")
    assert one is not None
    assert fixed is not None
    ended: list[str] = []
    one.watch(lambda: ended.append("one"))
    one.watch(lambda: ended.append("never"))()
    fixed.watch(lambda: ended.append("fixed"))
    assert ring.replace([TWO], NOW) == KeyChanges(removed=["k1"])
    assert ended == ["one"]
    assert ring.find(b"one") is None
    assert ring.find(b"fixed") is fixed
    with pytest.raises(InvalidApiKey, match="revoked"):
        one.require_valid()
    fixed.require_valid()


def test_a_key_expires_although_the_file_stays(ring: KeyRing) -> None:
    two = ring.find(b"two")
    assert two is not None
    assert ring.next_expiry == NOW + 1
    assert ring.replace([ONE, TWO], NOW + 1) == KeyChanges(expired=["k2"])
    assert ring.find(b"two") is None
    assert two.has_ended


def test_a_key_goes_on_if_only_its_note_or_its_limits_change(ring: KeyRing) -> None:
    one = ring.find(b"one")
    assert ring.replace([replace(ONE, note="n", limits={"sessions": 1}), TWO], NOW) == KeyChanges(changed=["k1"])
    assert ring.find(b"one") is one


@pytest.mark.parametrize("change", [{"tenant": "eve"}, {"role": "admin"}, {"models": ("a",)}, {"id": "k9"}])
def test_a_key_that_allows_something_else_begins_anew(ring: KeyRing, change: dict[str, str]) -> None:
    one = ring.find(b"one")
    assert one is not None
    ring.replace([replace(ONE, **change), TWO], NOW)  # type: ignore[arg-type]  # one field of several types
    assert one.has_ended
    assert ring.find(b"one") is not one


def test_a_key_of_the_settings_must_not_stand_in_the_file(ring: KeyRing) -> None:
    with pytest.raises(SettingsError, match=r"keys\[1\].digest is that of a key of UNROLL_API_KEYS"):
        ring.replace([ONE, replace(TWO, digest=digest_of(b"fixed"))], NOW)
    assert ring.find(b"two") is not None
