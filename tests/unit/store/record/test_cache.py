"""Cache of session records: which records can be used without a read, and the limit on their bytes."""

from hypothesis import given
from hypothesis import strategies as st

from service.store.record.cache import MAX_COMPARED_BYTES, RecordCache
from tests.unit.store.record.test_codec import SAMPLE


def test_a_record_is_found_by_the_very_bytes_that_it_is_stored_as() -> None:
    cache = RecordCache(1000)
    cache.put("a", b"stored", SAMPLE)
    assert cache.get_if_stored_as("a", b"stored") is SAMPLE
    assert cache.get_if_stored_as("a", b"storeD") is None
    assert cache.get_if_stored_as("b", b"stored") is None


def test_a_record_is_used_unread_while_its_session_stays() -> None:
    cache = RecordCache(1000)
    assert cache.get_trusted("a") is None
    cache.put("a", b"1", SAMPLE)
    assert cache.get_trusted("a") is SAMPLE
    cache.get_if_stored_as("a", b"2")  # another worker's
    cache.put("a", b"2", SAMPLE)
    cache.put("a", b"3", SAMPLE)  # written here
    assert cache.get_trusted("a") is None
    cache.get_if_stored_as("a", b"3")
    assert cache.get_trusted("a") is not None
    assert [cache.mark_stale(key) for key in "aab"] == [True, False, False]
    cache.put("a", b"4", SAMPLE)
    assert cache.get_trusted("a") is None


def test_a_record_too_large_to_be_compared_is_read() -> None:
    cache = RecordCache(10 * MAX_COMPARED_BYTES)
    for size, unread in ((MAX_COMPARED_BYTES, True), (MAX_COMPARED_BYTES + 1, False)):
        cache.put("a", bytes(size), SAMPLE)
        assert (cache.get_trusted("a") is not None) == unread


def test_the_least_recently_used_goes_first() -> None:
    cache = RecordCache(40)
    cache.put("a", b"1" * 10, SAMPLE)
    cache.put("b", b"2" * 10, SAMPLE)
    cache.get_if_stored_as("a", b"1" * 10)
    cache.put("c", b"3" * 10, SAMPLE)
    assert [cache.get_trusted(key) is not None for key in "abc"] == [True, False, True]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 60)), max_size=40))
def test_what_is_held_never_exceeds_its_limit(puts: list[tuple[str, int | None]]) -> None:
    cache, sizes = RecordCache(100), dict[str, int]()
    for key, size in puts:
        if size is None:
            cache.remove(key)
            assert cache.get_trusted(key) is None
            continue
        cache.put(key, bytes(size), SAMPLE)
        sizes[key] = size
        held = [sizes[key] for key in sizes if cache.get_trusted(key)]
        assert 2 * sum(held) <= 100
        assert len(held) == len(cache)
        assert 2 * size > 100 or cache.get_trusted(key)
    for key in sizes:
        cache.remove(key)
    cache.put("a", bytes(50), SAMPLE)
    assert cache.get_trusted("a") is not None
