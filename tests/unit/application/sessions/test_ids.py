"""Session ids."""

from service.application.sessions.ids import SessionIds


def test_ids_are_random_or_derived_and_prove_their_tenant() -> None:
    ids = SessionIds(b"secret" * 6)
    assert ids.random("a") != ids.random("a")
    assert ids.derived("a", "x", "yz") != ids.derived("a", "xy", "z")
    one = ids.random("a")
    assert ids.verify("a", one)
    assert not ids.verify("b", one)
    assert not SessionIds(b"another" * 5).verify("a", one)
