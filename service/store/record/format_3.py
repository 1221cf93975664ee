"""Record format 3.

    head      22 bytes: magic, format version, nonce, checksum
    summary   the metadata that a listing returns, and the checksum of the body
    body      state, digests, stored answer, kept states; parts that are empty are omitted

The summary begins with a byte of codes, dtype in its lower and durability in its upper half, a byte that tells which
parts the body has, and the fingerprint. Integers that follow are variable-length; the expiry times of the session and
of its index entry are differences, to the creation and to each other.
"""

import secrets
import struct
from collections.abc import Iterable
from zlib import crc32

from service.domain.errors import StateCorrupted
from service.domain.sessions import KeptStep, LastStep, Record, SessionSummary
from service.store.record.binary_io import MAX_VARINT_BYTES, Reader, signed_varint, varint
from service.store.record.codes import dtype_code, dtype_name, durability_code, durability_of
from service.store.record.owner import CHECKSUM_BYTES, RecordOwner, verify
from service.store.record.summaries import record_of

VERSION = 3

_HEAD = struct.Struct("<4sH8s8s")
_UNCHECKED_HEAD = struct.Struct("<4sH8s")
_FINGERPRINT_BYTES = 32
_BODY_CHECKSUM_BYTES = 4
_NUMBERS = 8  # of the summary, beside the lengths of two names
#: Head and summary with two names as long as a file system allows.
MAX_HEAD_BYTES = (
    _HEAD.size
    + 2
    + _FINGERPRINT_BYTES
    + 2 * (MAX_VARINT_BYTES + 255)
    + _NUMBERS * MAX_VARINT_BYTES
    + _BODY_CHECKSUM_BYTES
)

# The parts of a body behind the state.
_ORIGIN, _KEYS, _LAST, _KEPT = 1, 2, 4, 8


def write_record(record: Record, owner: RecordOwner, magic: bytes) -> bytes:
    """Encode a record with a new nonce. Raises ValueError and OverflowError as `codec.encode`."""
    body, parts = _body(record)
    checksum = 0
    for part in body:
        checksum = crc32(part, checksum)
    summary = _summary(record, parts, checksum)
    head = _UNCHECKED_HEAD.pack(magic, VERSION, secrets.token_bytes(8))
    return b"".join((head, owner.checksum(head, summary), summary, *body))


def read_summary(data: bytes, owner: RecordOwner) -> SessionSummary:
    """Decode the first bytes of a record, checking head and summary only. Raises StateCorrupted."""
    return _read_summary(data, owner)[0]


def read_record(data: bytes, owner: RecordOwner) -> Record:
    """Decode a whole record. Raises StateCorrupted."""
    summary, parts, checksum, offset = _read_summary(data, owner)
    verify(checksum, crc32(memoryview(data)[offset:]).to_bytes(_BODY_CHECKSUM_BYTES, "little"))
    reader = Reader(data, offset)
    record = record_of(
        summary,
        token=data,
        # Keyword arguments are evaluated in this order, which is the order of `_body`.
        state=reader.raw(summary.state_bytes),
        origin=reader.blob() if parts & _ORIGIN else b"",
        keys=tuple(reader.blob() for _ in range(reader.varint())) if parts & _KEYS else (),
        last=_read_last(reader) if parts & _LAST else None,
        kept=tuple(_read_kept(reader) for _ in range(reader.varint())) if parts & _KEPT else (),
    )
    reader.finish()
    return record


def _summary(record: Record, parts: int, body_checksum: int) -> bytes:
    fingerprint = bytes.fromhex(record.fingerprint)
    if len(fingerprint) != _FINGERPRINT_BYTES:
        raise ValueError(f"fingerprint has {len(fingerprint)} bytes, expected {_FINGERPRINT_BYTES}")
    model, version = record.model.encode(), record.version.encode()
    return b"".join(
        (
            bytes((dtype_code(record.dtype) | durability_code(record.durability) << 4, parts)),
            fingerprint,
            varint(len(model)),
            model,
            varint(len(version)),
            version,
            varint(record.step),
            varint(record.timesteps),
            varint(record.created_at),
            signed_varint(record.expires_at - record.created_at),
            varint(record.ttl_seconds),
            signed_varint(record.indexed_until - record.expires_at),
            varint(record.kept_steps),
            varint(len(record.state)),
            body_checksum.to_bytes(_BODY_CHECKSUM_BYTES, "little"),
        )
    )


def _body(record: Record) -> tuple[list[bytes], int]:
    """Return the pieces of the body, and the sum of the parts that it has."""
    pieces, parts = [record.state], 0
    if record.origin:
        parts |= _ORIGIN
        pieces += _blobs(record.origin)
    if record.keys:
        parts |= _KEYS
        pieces += (varint(len(record.keys)), *_blobs(*record.keys))
    if record.last is not None:
        parts |= _LAST
        last = record.last
        pieces += (varint(last.step), *_blobs(last.key_digest, last.body_digest, last.answer))
    if record.kept:
        parts |= _KEPT
        pieces.append(varint(len(record.kept)))
        for kept in record.kept:
            pieces += (varint(kept.step), varint(kept.timesteps), *_blobs(kept.state))
    return pieces, parts


def _blobs(*values: bytes) -> Iterable[bytes]:
    for value in values:
        yield varint(len(value))
        yield value


def _read_summary(data: bytes, owner: RecordOwner) -> tuple[SessionSummary, int, bytes, int]:
    """Return the summary, the parts of the body, the checksum of the body, and its offset."""
    if len(data) < _HEAD.size:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {_HEAD.size} or more")
    *_, checksum = _HEAD.unpack_from(data)
    reader = Reader(data, _HEAD.size)
    codes, parts = reader.raw(2)
    fingerprint = reader.raw(_FINGERPRINT_BYTES).hex()
    model, version = reader.text(reader.varint()), reader.text(reader.varint())
    step, timesteps, created_at = reader.varint(), reader.varint(), reader.varint()
    expires_at, ttl_seconds = created_at + reader.signed_varint(), reader.varint()
    indexed_until, kept_steps, state_bytes = expires_at + reader.signed_varint(), reader.varint(), reader.varint()
    summary = SessionSummary(
        model=model,
        version=version,
        fingerprint=fingerprint,
        dtype=dtype_name(codes & 15),
        step=step,
        timesteps=timesteps,
        created_at=created_at,
        expires_at=expires_at,
        ttl_seconds=ttl_seconds,
        durability=durability_of(codes >> 4),
        kept_steps=kept_steps,
        indexed_until=indexed_until,
        state_bytes=state_bytes,
    )
    body_checksum = reader.raw(_BODY_CHECKSUM_BYTES)
    verify(checksum, owner.checksum(data[: _HEAD.size - CHECKSUM_BYTES], data[_HEAD.size : reader.offset]))
    return summary, parts, body_checksum, reader.offset


def _read_last(reader: Reader) -> LastStep:
    return LastStep(step=reader.varint(), key_digest=reader.blob(), body_digest=reader.blob(), answer=reader.blob())


def _read_kept(reader: Reader) -> KeptStep:
    return KeptStep(step=reader.varint(), timesteps=reader.varint(), state=reader.blob())
