"""Members of the sorted sets of an index, and the two forms that they have.

    compact   8 bytes of creation time with the highest bit set, 0xff, and the 25 bytes of the session's id
    text      8 bytes of creation time, and the id as text; of earlier versions, and of ids that have another form

Times are big-endian. In either form members sort by creation time and then by the text of the id. All compact members
sort after all text members, so that each form is a range of its own. The byte 0xff is never part of UTF-8: an earlier
version that lists a compact member fails, where it would otherwise look for another session and remove the entry.
"""

import base64
import re

TIME_BYTES = 8
#: The smallest compact member. It separates the ranges of the two forms.
FIRST_COMPACT = b"\x80"

_COMPACT_BIT = 1 << 8 * TIME_BYTES - 1
_COMPACT_ID = b"\xff"
_COMPACT_BYTES = TIME_BYTES + len(_COMPACT_ID) + 25
_ID_PREFIX = b"ses_"
_ID = re.compile(_ID_PREFIX + b"[2-7a-z]{40}")
# Base32 in the order of its characters, which b32decode does not have: the bytes of ids sort as their texts do.
_ORDERED_DIGITS, _BASE32_DIGITS = b"234567abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_BASE32 = bytes.maketrans(_ORDERED_DIGITS, _BASE32_DIGITS)
_FROM_BASE32 = bytes.maketrans(_BASE32_DIGITS, _ORDERED_DIGITS)


def text_member(created_at: int, session_id: bytes) -> bytes:
    """Return the text form of a member. `created_at` is in milliseconds since 1970."""
    return created_at.to_bytes(TIME_BYTES, "big") + session_id


def compact_bound(created_at: int, session_id: bytes) -> bytes:
    """Return the compact form of a member, or, for an id that has none, a bound before the members of that time."""
    return (created_at | _COMPACT_BIT).to_bytes(TIME_BYTES, "big") + (_compact_id(session_id) or b"")


def stored_member(created_at: int, session_id: bytes) -> bytes:
    """Return the form in which a member is written: compact if the id allows it."""
    compact = _compact_id(session_id)
    return compact_bound(created_at, session_id) if compact else text_member(created_at, session_id)


def parse_member(member: bytes) -> tuple[int, bytes]:
    """Return creation time and id of a member of either form."""
    created_at, session_id = int.from_bytes(member[:TIME_BYTES], "big"), member[TIME_BYTES:]
    if len(member) == _COMPACT_BYTES and created_at & _COMPACT_BIT:
        digits = base64.b32encode(session_id.removeprefix(_COMPACT_ID)).translate(_FROM_BASE32)
        return created_at ^ _COMPACT_BIT, _ID_PREFIX + digits
    return created_at, session_id


def _compact_id(session_id: bytes) -> bytes | None:
    """Return the bytes of an id of the form that the service issues, or None for any other."""
    if not _ID.fullmatch(session_id):
        return None
    return _COMPACT_ID + base64.b32decode(session_id.removeprefix(_ID_PREFIX).translate(_TO_BASE32))
