"""Progress of long work: told to whoever shows it, and to nobody for short work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from service.tooling.progress import MIN_BYTES, shown, tracked

SIZES = [MIN_BYTES, 5, MIN_BYTES // 2]


@pytest.mark.parametrize(("sizes", "expected"), [(SIZES, [sum(SIZES), *SIZES]), ([5, 6], []), ([], [])])
def test_long_work_is_told_by_its_bytes(sizes: list[int], expected: list[int]) -> None:
    told: list[int] = []

    @contextmanager
    def bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
        assert label == "reading"
        told.append(total)
        yield told.append

    with shown(bar):
        assert [*tracked("reading", sizes, int)] == sizes
    assert told == expected
    assert [*tracked("reading", sizes, int)] == sizes
    assert told == expected
