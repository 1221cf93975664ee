"""Headers of a request as its parser has them."""

from collections.abc import Iterable
from typing import TypeAlias

Header: TypeAlias = tuple[bytes, bytes]


def content_length(headers: Iterable[Header]) -> int | None:
    """Return the length of a request's body, or None if it comes in chunks."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding":
            return None
    return 0
