"""Where a session stands in its tenant's listing: as a member of the index, and as a cursor, which is url-safe text."""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from service.domain.errors import InvalidRequest

#: The year 9999, in milliseconds since 1970.
LATEST = 253_402_300_800_000

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True, order=True)
class ListingPosition:
    """A place in a listing; newer sessions are greater. `created_at` in milliseconds since 1970."""

    created_at: int
    session_id: bytes

    @property
    def member(self) -> bytes:
        """The position as bytes, whose order is that of positions."""
        return self.created_at.to_bytes(_TIME_BYTES, "big") + self.session_id

    @classmethod
    def of(cls, member: bytes) -> Self:
        """The position that `member` was made of."""
        return cls(int.from_bytes(member[:_TIME_BYTES], "big"), member[_TIME_BYTES:])

    def cursor(self) -> str:
        """The position as opaque text."""
        return base64.urlsafe_b64encode(self.member).rstrip(b"=").decode()

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """The position that `cursor` was made of. Raises InvalidRequest."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise _refused(cursor) from error
        position = cls.of(raw)
        # No clock reaches that far: whatever has such a time was not made here.
        if len(raw) <= _TIME_BYTES or position.created_at > LATEST or not position.session_id.isascii():
            raise _refused(cursor)
        return position


def _refused(cursor: str) -> InvalidRequest:
    return InvalidRequest(f"cursor is {cursor[:100]!r}, expected one from an earlier page", param="cursor")
