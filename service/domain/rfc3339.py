"""Times as clients write them, RFC 3339, and as the service counts them: microseconds since 1970, UTC."""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
#: The first microsecond of the year 1, and that of the year 10000, which no time reaches.
BEGIN = -62_135_596_800_000_000
END = 253_402_300_800_000_000

_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(Z|z|[+-]\d\d:\d\d)?", re.ASCII)


def parse_rfc3339(text: str, *, naive: bool = False) -> int:
    """Return a time in microseconds since 1970; `naive` takes one without an offset for UTC. Raises ValueError."""
    format_rfc3339 = _WRITTEN.fullmatch(text)
    if format_rfc3339 is None or (format_rfc3339[1] is None and not naive):
        raise ValueError("no such form")
    time = datetime.fromisoformat(text.upper())
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def format_rfc3339(time: int) -> str:
    """Return microseconds since 1970 as RFC 3339 in UTC; fractions of a second only where there are some.

    Offsets and steps that are counted on reach a little beyond the years 1 to 9999, which are all that can be written.
    """
    return (EPOCH + min(max(time, BEGIN), END - 1) * MICROSECOND).isoformat().replace("+00:00", "Z")
