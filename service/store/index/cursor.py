"""Position of a session in its tenant's listing, encoded as a member of the index or as a URL-safe cursor.

Cursors contain the text form of a member, so that workers of earlier versions accept them, too.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from service.domain.errors import InvalidRequest
from service.store.index.members import TIME_BYTES, compact_bound, parse_member, stored_member, text_member

#: The year 9999, in milliseconds since 1970.
MAX_CREATED_AT = 253_402_300_800_000


@dataclass(frozen=True, slots=True, order=True)
class ListingPosition:
    """Position in a listing. Newer sessions are greater; `created_at` is in milliseconds since 1970."""

    created_at: int
    session_id: bytes

    @property
    def member(self) -> bytes:
        """The member of the session as this version writes it."""
        return stored_member(self.created_at, self.session_id)

    @property
    def text_member(self) -> bytes:
        """The member as earlier versions wrote it, which is also a bound in the range of such members."""
        return text_member(self.created_at, self.session_id)

    @property
    def compact_bound(self) -> bytes:
        """The position as a bound in the range of compact members."""
        return compact_bound(self.created_at, self.session_id)

    @classmethod
    def from_member(cls, member: bytes) -> Self:
        """Return the position of a member of the index, in either form."""
        return cls(*parse_member(member))

    def cursor(self) -> str:
        """Return the position as opaque text."""
        return base64.urlsafe_b64encode(self.text_member).rstrip(b"=").decode()

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Parse a cursor. Raises InvalidRequest for text that `cursor` did not return."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise _invalid_cursor(cursor) from error
        position = cls(int.from_bytes(raw[:TIME_BYTES], "big"), raw[TIME_BYTES:])
        # No clock shows a later time, so such a cursor is forged.
        if len(raw) <= TIME_BYTES or position.created_at > MAX_CREATED_AT or not position.session_id.isascii():
            raise _invalid_cursor(cursor)
        return position


def _invalid_cursor(cursor: str) -> InvalidRequest:
    return InvalidRequest(f"cursor is {cursor[:100]!r}, expected one from an earlier page", param="cursor")
