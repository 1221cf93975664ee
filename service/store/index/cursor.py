"""Position of a session in its tenant's listing, encoded as a member of the index or as a URL-safe cursor."""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from service.domain.errors import InvalidRequest

#: The year 9999, in milliseconds since 1970.
MAX_CREATED_AT = 253_402_300_800_000

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True, order=True)
class ListingPosition:
    """Position in a listing. Newer sessions are greater; `created_at` is in milliseconds since 1970."""

    created_at: int
    session_id: bytes

    @property
    def member(self) -> bytes:
        """The position as bytes that sort as positions do."""
        return self.created_at.to_bytes(_TIME_BYTES, "big") + self.session_id

    @classmethod
    def from_member(cls, member: bytes) -> Self:
        """Return the position of a member of the index."""
        return cls(int.from_bytes(member[:_TIME_BYTES], "big"), member[_TIME_BYTES:])

    def cursor(self) -> str:
        """Return the position as opaque text."""
        return base64.urlsafe_b64encode(self.member).rstrip(b"=").decode()

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Parse a cursor. Raises InvalidRequest for text that `cursor` did not return."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise _invalid_cursor(cursor) from error
        position = cls.from_member(raw)
        # No clock shows a later time, so such a cursor is forged.
        if len(raw) <= _TIME_BYTES or position.created_at > MAX_CREATED_AT or not position.session_id.isascii():
            raise _invalid_cursor(cursor)
        return position


def _invalid_cursor(cursor: str) -> InvalidRequest:
    return InvalidRequest(f"cursor is {cursor[:100]!r}, expected one from an earlier page", param="cursor")
