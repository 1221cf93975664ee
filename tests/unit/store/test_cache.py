"""Records held ready: those that are stored as they were, and no more of them than may be."""

from hypothesis import given
from hypothesis import strategies as st

from service.store.record.cache import MAX_COMPARED_BYTES, RecordCache
from tests.unit.store.test_codec import SAMPLE


def test_a_record_is_found_by_the_very_bytes_that_it_is_stored_as() -> None:
    recent = RecordCache(1000)
    recent.put("a", b"stored", SAMPLE)
    assert recent.get_if_stored_as("a", b"stored") is SAMPLE
    assert recent.get_if_stored_as("a", b"storeD") is None
    assert recent.get_if_stored_as("b", b"stored") is None


def test_a_record_is_used_unread_while_its_session_stays() -> None:
    recent = RecordCache(1000)
    assert recent.get_trusted("a") is None
    recent.put("a", b"1", SAMPLE)
    assert recent.get_trusted("a") is SAMPLE
    recent.get_if_stored_as("a", b"2")  # another worker's
    recent.put("a", b"2", SAMPLE)
    recent.put("a", b"3", SAMPLE)  # written here
    assert recent.get_trusted("a") is None
    recent.get_if_stored_as("a", b"3")
    assert recent.get_trusted("a") is not None
    assert [recent.mark_stale(key) for key in "aab"] == [True, False, False]
    recent.put("a", b"4", SAMPLE)
    assert recent.get_trusted("a") is None


def test_a_record_too_large_to_be_compared_is_read() -> None:
    recent = RecordCache(10 * MAX_COMPARED_BYTES)
    for size, unread in ((MAX_COMPARED_BYTES, True), (MAX_COMPARED_BYTES + 1, False)):
        recent.put("a", bytes(size), SAMPLE)
        assert (recent.get_trusted("a") is not None) == unread


def test_the_least_recently_used_goes_first() -> None:
    recent = RecordCache(40)
    recent.put("a", b"1" * 10, SAMPLE)
    recent.put("b", b"2" * 10, SAMPLE)
    recent.get_if_stored_as("a", b"1" * 10)
    recent.put("c", b"3" * 10, SAMPLE)
    assert [recent.get_trusted(key) is not None for key in "abc"] == [True, False, True]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=40))
def test_what_is_held_never_exceeds_its_limit(puts: list[tuple[str, int]]) -> None:
    recent, last = RecordCache(100), {}
    for key, size in puts:
        recent.put(key, bytes(size), SAMPLE)
        last[key] = size
        held = [last[one] for one in last if recent.get_trusted(one)]
        assert 2 * sum(held) <= 100
        assert len(held) == len(recent)
        assert 2 * size > 100 or key in [one for one in last if recent.get_trusted(one)]
