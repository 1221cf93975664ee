"""Progress of long work on files, which the command line can show."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

T = TypeVar("T")
#: Opens a bar for so many bytes under a label; the result is told how many more of them are done.
Bar: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
#: Bytes that are done too soon for a bar.
MIN_BYTES = 2**25
_bar: ContextVar[Bar | None] = ContextVar("bar", default=None)


@contextmanager
def shown(bar: Bar | None) -> Iterator[None]:
    """Show the progress of the work in the block; None shows nothing."""
    token = _bar.set(bar)
    try:
        yield
    finally:
        _bar.reset(token)


def tracked(label: str, items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[T]:
    """Yield the items, and show the progress by their sizes in bytes if there is much of it."""
    bar, waiting = _bar.get(), [*items]
    total = sum(map(size_of, waiting))
    if bar is None or total < MIN_BYTES:
        yield from waiting
        return
    with bar(label, total) as advance:
        for item in waiting:
            yield item
            advance(size_of(item))
