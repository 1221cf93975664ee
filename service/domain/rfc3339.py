"""Conversion between RFC 3339 times and microseconds since 1970, UTC."""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
#: The first microsecond of the year 1, and that of the year 10000, which no time reaches.
BEGIN = -62_135_596_800_000_000
END = 253_402_300_800_000_000

_PATTERN = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(Z|z|[+-]\d\d:\d\d)?", re.ASCII)


def parse_rfc3339(text: str, *, naive: bool = False) -> int:
    """Parse a time to microseconds since 1970. `naive` accepts a time without offset as UTC. Raises ValueError."""
    match = _PATTERN.fullmatch(text)
    if match is None or (match[1] is None and not naive):
        raise ValueError("no such form")
    time = datetime.fromisoformat(text.upper())
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def format_rfc3339(time: int) -> str:
    """Format microseconds since 1970 as RFC 3339 in UTC, with a fraction of a second only if there is one.

    The format has the years 1 to 9999 only. A time that offsets or forecast steps lead beyond them is clamped.
    """
    return (EPOCH + min(max(time, BEGIN), END - 1) * MICROSECOND).isoformat().replace("+00:00", "Z")
