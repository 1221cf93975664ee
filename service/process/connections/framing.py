"""Framing of requests by HTTP/1.1, as far as a connection must know it before the parser does."""

VERSIONS = frozenset({"1.1", "1.0"})
HEAD_END = b"\r\n\r\n"
#: Bytes of chunk sizes and chunk extensions that each byte of a body allows for. Chunks of one byte need 5.
FRAMING_PER_BYTE = 8


def has_one_head(data: bytes, limit: int) -> bool:
    """Return whether no more than one head ends in data that begins with one, as is usual, and it is not too long."""
    return len(data) <= limit and data.count(HEAD_END) <= 1
