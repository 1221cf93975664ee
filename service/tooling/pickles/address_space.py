"""Limit of the memory that a block of code may allocate."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/statm")


@contextmanager
def limited_address_space(max_bytes: int) -> Iterator[None]:
    """Make allocations of more than `max_bytes` in all fail in the block, in all threads of this process.

    Without /proc, nothing is limited.
    """
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = _address_space()
    if used is None:
        yield
        return
    hard = limits[1]
    limit = used + max_bytes if hard == resource.RLIM_INFINITY else min(used + max_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _address_space() -> int | None:
    try:
        return int(STATUS.read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return None
