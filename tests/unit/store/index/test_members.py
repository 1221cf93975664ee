"""Members of an index: their two forms, their order, and the cursors of the positions that they hold."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.index.cursor import MAX_CREATED_AT, ListingPosition
from service.store.index.members import FIRST_COMPACT

NOW = 1_900_000_000_000
ID = b"ses_234567abcdefghijklmnopqrstuvwxyzabcdefgh"
#: The members and the cursor of the session ID of the time NOW, as they are stored and as clients keep them.
COMPACT = bytes.fromhex("800001ba60d33800ff00443214c74254b635cf84653a56d7c675be77df31d0952d8d")
TEXT = b"\x00\x00\x01\xba\x60\xd3\x38\x00ses_234567abcdefghijklmnopqrstuvwxyzabcdefgh"
CURSOR = "AAABumDTOABzZXNfMjM0NTY3YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWZnaA"

times = st.integers(0, MAX_CREATED_AT)
# As the service makes them of 25 bytes.
ids = st.binary(min_size=25, max_size=25).map(lambda raw: b"ses_" + base64.b32encode(raw).lower())
positions = st.builds(ListingPosition, times, ids)


def test_a_position_is_stored_in_the_compact_form() -> None:
    assert ListingPosition(NOW, ID).member == COMPACT
    assert ListingPosition.from_member(COMPACT) == ListingPosition(NOW, ID)


def test_a_member_in_text_is_read() -> None:
    assert ListingPosition(NOW, ID).text_member == TEXT
    assert ListingPosition.from_member(TEXT) == ListingPosition(NOW, ID)


def test_a_cursor_is_the_same_as_that_of_earlier_versions() -> None:
    assert ListingPosition(NOW, ID).cursor() == CURSOR
    assert ListingPosition.parse(CURSOR) == ListingPosition(NOW, ID)


@given(positions)
def test_every_position_is_read_back_from_either_form_and_from_its_cursor(position: ListingPosition) -> None:
    assert ListingPosition.from_member(position.member) == position
    assert ListingPosition.from_member(position.text_member) == position
    assert ListingPosition.parse(position.cursor()) == position


@given(times, ids, ids, times)
def test_members_of_either_form_sort_as_positions_do(time: int, one: bytes, other: bytes, other_time: int) -> None:
    for first, second in (
        (ListingPosition(time, one), ListingPosition(time, other)),
        (ListingPosition(time, one), ListingPosition(other_time, other)),
    ):
        assert (first.member < second.member) == (first < second)
        assert (first.text_member < second.text_member) == (first < second)


@given(positions, positions)
def test_all_compact_members_sort_after_all_members_in_text(one: ListingPosition, other: ListingPosition) -> None:
    assert one.text_member < FIRST_COMPACT < other.member
    assert other.member == other.compact_bound


@given(positions)
def test_a_compact_member_is_no_text_for_an_earlier_version(position: ListingPosition) -> None:
    with pytest.raises(UnicodeDecodeError):
        position.member[8:].decode()


@pytest.mark.parametrize("name", ["id", "", "ses_", ID[:-1].decode(), ID.decode() + "a", ID.decode().upper(), "ü" * 22])
def test_an_id_of_another_form_is_stored_in_text(name: str) -> None:
    position = ListingPosition(NOW, name.encode())
    assert position.member == position.text_member == TEXT[:8] + name.encode()
    assert ListingPosition.from_member(position.member) == position
    assert FIRST_COMPACT < position.compact_bound < COMPACT
