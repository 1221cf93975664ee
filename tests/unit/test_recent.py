"""Records held ready: those that are stored as they were, and no more of them than may be."""

from hypothesis import given
from hypothesis import strategies as st

from service.store.recent import Recent
from tests.unit.test_record import SAMPLE


def test_a_record_is_found_by_the_very_bytes_that_it_is_stored_as() -> None:
    recent = Recent(1000)
    recent.put("a", b"stored", SAMPLE)
    assert recent.get("a", b"stored") is SAMPLE
    assert recent.get("a", b"storeD") is None
    assert recent.get("b", b"stored") is None
    assert recent.knows("a")


def test_the_least_recently_used_goes_first() -> None:
    recent = Recent(40)
    recent.put("a", b"1" * 10, SAMPLE)
    recent.put("b", b"2" * 10, SAMPLE)
    recent.get("a", b"1" * 10)
    recent.put("c", b"3" * 10, SAMPLE)
    assert [recent.knows(key) for key in "abc"] == [True, False, True]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=40))
def test_what_is_held_never_exceeds_its_limit(puts: list[tuple[str, int]]) -> None:
    recent, last = Recent(100), {}
    for key, size in puts:
        recent.put(key, bytes(size), SAMPLE)
        last[key] = size
        held = [last[one] for one in last if recent.knows(one)]
        assert 2 * sum(held) <= 100
        assert len(held) == len(recent)
        assert 2 * size > 100 or recent.get(key, bytes(size)) is SAMPLE
