"""Size classes, in which the index keeps what sessions reserve."""

import pytest

from service.store.index.reservations import size_class


@pytest.mark.parametrize("size", [1, 2048, 10_000, 1_000_000, 2**31])
def test_a_size_class_reserves_at_most_a_little_more_than_the_size(size: int) -> None:
    assert size <= 2 ** (size_class(size) / 64) <= max(2, size) * 1.011
