"""Reader of record format 2, which earlier versions wrote.

    header    72 bytes, little-endian: magic, format version, dtype, step, timesteps, nonce, model fingerprint, checksum
    summary   names of model and version, times, TTL, durability, kept steps, length of the state, checksum of the body
    body      state, digests, stored answer, kept states

Integers have fixed sizes. The checksum of the body is a BLAKE2b digest of 8 bytes.
"""

import struct
from hashlib import blake2b

from service.domain.errors import StateCorrupted
from service.domain.sessions import KeptStep, LastStep, Record, SessionSummary
from service.store.record.binary_io import Reader
from service.store.record.codes import dtype_name, durability_of
from service.store.record.owner import CHECKSUM_BYTES, RecordOwner, verify
from service.store.record.summaries import record_of

_HEADER = struct.Struct("<4sHBxQQ8s32s8s")
#: Follows the names of model and version: created at, expires at, TTL, durability, kept steps, indexed until, length of
#: the state, and checksum of the body.
_SUMMARY = struct.Struct("<QQIBBQI8s")
#: Header and summary with two names as long as a file system allows.
MAX_HEAD_BYTES = _HEADER.size + 2 * (2 + 255) + _SUMMARY.size


def read_summary(data: bytes, owner: RecordOwner) -> SessionSummary:
    """Decode the first bytes of a record, checking header and summary only. Raises StateCorrupted."""
    return _read_summary(data, owner)[0]


def read_record(data: bytes, owner: RecordOwner) -> Record:
    """Decode a whole record. Raises StateCorrupted."""
    summary, checksum, offset = _read_summary(data, owner)
    verify(checksum, blake2b(memoryview(data)[offset:], digest_size=CHECKSUM_BYTES).digest())
    reader = Reader(data, offset)
    record = record_of(
        summary,
        token=data,
        # Keyword arguments are evaluated in this order, which is the order of the body.
        state=reader.raw(summary.state_bytes),
        origin=_read_blob(reader, 1),
        keys=tuple(_read_blob(reader, 1) for _ in range(reader.integer(1))),
        last=_read_last(reader),
        kept=tuple(
            KeptStep(step=reader.integer(8), timesteps=reader.integer(8), state=_read_blob(reader, 4))
            for _ in range(reader.integer(1))
        ),
    )
    reader.finish()
    return record


def _read_summary(data: bytes, owner: RecordOwner) -> tuple[SessionSummary, bytes, int]:
    """Return the summary, the checksum of the body, and the offset of the body."""
    if len(data) < _HEADER.size:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {_HEADER.size} or more")
    _, _, dtype, step, timesteps, _, fingerprint, checksum = _HEADER.unpack_from(data)
    reader = Reader(data, _HEADER.size)
    model, version = reader.text(reader.integer(2)), reader.text(reader.integer(2))
    created_at, expires_at, ttl_seconds, durability, kept_steps, indexed_until, state_bytes, body_checksum = (
        _SUMMARY.unpack(reader.raw(_SUMMARY.size))
    )
    summary = SessionSummary(
        model=model,
        version=version,
        fingerprint=fingerprint.hex(),
        dtype=dtype_name(dtype),
        step=step,
        timesteps=timesteps,
        created_at=created_at,
        expires_at=expires_at,
        ttl_seconds=ttl_seconds,
        durability=durability_of(durability),
        kept_steps=kept_steps,
        indexed_until=indexed_until,
        state_bytes=state_bytes,
    )
    head, encoded_summary = data[: _HEADER.size - CHECKSUM_BYTES], data[_HEADER.size : reader.offset]
    verify(checksum, owner.checksum(head, encoded_summary))
    return summary, body_checksum, reader.offset


def _read_last(reader: Reader) -> LastStep | None:
    if not reader.integer(1):
        return None
    return LastStep(
        step=reader.integer(8),
        key_digest=_read_blob(reader, 1),
        body_digest=_read_blob(reader, 1),
        answer=_read_blob(reader, 4),
    )


def _read_blob(reader: Reader, size: int) -> bytes:
    """Read bytes after their length, an integer of `size` bytes."""
    return reader.raw(reader.integer(size))
