"""Stored bytes of session records, and of the tombstones of ended sessions.

Records are written in format 3; those of format 2 are read, too. Either has a head with a random nonce, a summary and
a body. The checksum in the head covers the summary, and through it the body. It also covers the owner, tenant and
session, which is not stored: a record that was copied from another session's key is rejected. A listing reads and
checks head and summary only, however large the states are.

The nonce distinguishes two writes of equal content, so a writer never mistakes a record that was rolled back and
written again for the one it knows.
"""

import struct
from dataclasses import dataclass

from service.domain.errors import StateCorrupted
from service.domain.sessions import Record, SessionSummary
from service.store.record import format_2, format_3
from service.store.record.owner import CHECKSUM_BYTES, RecordOwner, verify

MAGIC = b"UnrS"
TOMBSTONE_MAGIC = b"UnrE"
#: The first bytes of a record, which contain the nonce in either format, so that they identify one write.
HEADER_BYTES = 72
#: The first bytes of a record that contain its summary.
HEAD_BYTES = max(format_2.MAX_HEAD_BYTES, format_3.MAX_HEAD_BYTES)

_PREFIX = struct.Struct("<4sH")
_TOMBSTONE = struct.Struct("<4sHxxQQ8s")
_TOMBSTONE_VERSION = 2
_BLANK = bytes(CHECKSUM_BYTES)
_RECORD_READERS = {2: format_2.read_record, 3: format_3.read_record}
_SUMMARY_READERS = {2: format_2.read_summary, 3: format_3.read_summary}


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Marker of a session that its client ended. Times are in milliseconds since 1970."""

    ended_at: int
    created_at: int


def encode(record: Record, owner: RecordOwner) -> bytes:
    """Encode a record with a new nonce. The bytes are the record's new token.

    Raises ValueError for a dtype, durability or fingerprint that the format does not support, and OverflowError for a
    number that it cannot hold.
    """
    return format_3.write_record(record, owner, MAGIC)


def decode(data: bytes, owner: RecordOwner) -> Record | Tombstone:
    """Decode stored bytes. Raises StateCorrupted for bytes that were not encoded for `owner`."""
    version = _record_version(data)
    return _read_tombstone(data, owner) if version is None else _RECORD_READERS[version](data, owner)


def decode_head(data: bytes, owner: RecordOwner) -> SessionSummary | Tombstone:
    """Decode the first HEAD_BYTES of stored bytes, checking head and summary only. Raises StateCorrupted."""
    version = _record_version(data)
    return _read_tombstone(data, owner) if version is None else _SUMMARY_READERS[version](data, owner)


def encode_tombstone(ended_at: int, created_at: int, owner: RecordOwner) -> bytes:
    """Encode a tombstone. Times are in milliseconds since 1970."""
    head = _TOMBSTONE.pack(TOMBSTONE_MAGIC, _TOMBSTONE_VERSION, ended_at, created_at, _BLANK)[:-CHECKSUM_BYTES]
    return head + owner.checksum(head, b"")


def _record_version(data: bytes) -> int | None:
    """Return the format version of a record, or None for a tombstone."""
    if len(data) < _PREFIX.size:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {_PREFIX.size} or more")
    version: int
    magic, version = _PREFIX.unpack_from(data)
    if magic not in (MAGIC, TOMBSTONE_MAGIC):
        raise StateCorrupted(f"session record starts with {magic!r}, expected {MAGIC!r} or {TOMBSTONE_MAGIC!r}")
    versions = _RECORD_READERS.keys() if magic == MAGIC else (_TOMBSTONE_VERSION,)
    if version not in versions:
        expected = " or ".join(str(known) for known in versions)
        raise StateCorrupted(f"session record has format version {version}, expected {expected}")
    return version if magic == MAGIC else None


def _read_tombstone(data: bytes, owner: RecordOwner) -> Tombstone:
    if len(data) != _TOMBSTONE.size:
        raise StateCorrupted(f"tombstone has {len(data)} bytes, expected {_TOMBSTONE.size}")
    _, _, ended_at, created_at, checksum = _TOMBSTONE.unpack(data)
    verify(checksum, owner.checksum(data[:-CHECKSUM_BYTES], b""))
    return Tombstone(ended_at, created_at)
