"""Binary format of session records, and of the tombstones of ended sessions.

    header    72 bytes, little-endian: magic, format version, dtype, step, timesteps, nonce, model fingerprint, checksum
    summary   the metadata that a listing returns, and the checksum of the body
    body      state, digests, stored answer, kept states

The header identifies the whole record. Its checksum covers the summary, and through it the body. The random nonce
distinguishes two writes of equal content, so a writer never mistakes a record that was rolled back and written again
for the one it knows. The checksum also covers the owner, tenant and session, which is not stored: a record that was
copied from another session's key is rejected. A listing reads and checks header and summary only, however large the
states are.
"""

import secrets
import struct
from dataclasses import dataclass
from hashlib import blake2b

from service.domain.errors import StateCorrupted
from service.domain.sessions import Durability, KeptStep, LastStep, Record, SessionSummary
from service.store.record.binary_io import Reader, Writer

MAGIC = b"UnrS"
TOMBSTONE_MAGIC = b"UnrE"
FORMAT = 2

_HEADER = struct.Struct("<4sHBxQQ8s32s8s")
#: Follows the names of model and version: created at, expires at, TTL, durability, kept steps, indexed until, length of
#: the state, and checksum of the body.
_SUMMARY = struct.Struct("<QQIBBQI8s")
_TOMBSTONE = struct.Struct("<4sHxxQQ8s")
_PREFIX = struct.Struct("<4sH")
_CHECKSUM_BYTES = 8
_BLANK = bytes(_CHECKSUM_BYTES)
HEADER_BYTES = _HEADER.size
#: Header and summary with two names as long as a file system allows.
HEAD_BYTES = HEADER_BYTES + 2 * (2 + 255) + _SUMMARY.size

_DTYPES = {"float32": 1, "bfloat16": 2, "float16": 3, "float64": 4, "int8": 5}
_DTYPE_NAMES = {code: name for name, code in _DTYPES.items()}
_DURABILITIES: tuple[Durability, ...] = ("memory", "replicated", "fsynced")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Marker of a session that its client ended. Times are in milliseconds since 1970."""

    ended_at: int
    created_at: int


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """Tenant and session that a record belongs to."""

    tenant: str
    session_id: str

    def checksum(self, head: bytes | memoryview, summary: bytes | memoryview) -> bytes:
        """Return the checksum of a record's head and summary for this owner."""
        # The lengths delimit the names. The prefix of keys is not covered, so that records can move to another prefix.
        names = [name.encode() for name in (self.tenant, self.session_id)]
        return _checksum(*(part for name in names for part in (len(name).to_bytes(4, "little"), name)), head, summary)


def encode(record: Record, owner: RecordOwner) -> bytes:
    """Encode a record with a new nonce. The bytes are the record's new token.

    Raises ValueError for a dtype, durability or fingerprint that the format does not support, and OverflowError for a
    number that it cannot hold.
    """
    if record.dtype not in _DTYPES:
        raise ValueError(f"dtype {record.dtype!r} is none of {', '.join(_DTYPES)}")
    fingerprint = bytes.fromhex(record.fingerprint)
    if len(fingerprint) != 32:
        raise ValueError(f"fingerprint has {len(fingerprint)} bytes, expected 32")
    body = _encode_body(record)
    nonce, dtype = secrets.token_bytes(8), _DTYPES[record.dtype]
    try:
        summary = _encode_summary(record, body)
        blank = _HEADER.pack(MAGIC, FORMAT, dtype, record.step, record.timesteps, nonce, fingerprint, _BLANK)
    except struct.error as error:
        raise OverflowError(f"a number of the record does not fit its field: {error}") from error
    head = blank[:-_CHECKSUM_BYTES]
    return head + owner.checksum(head, summary) + summary + body


def decode(data: bytes, owner: RecordOwner) -> Record | Tombstone:
    """Decode stored bytes. Raises StateCorrupted for bytes that were not encoded for `owner`."""
    return _decode_record(data, owner) if _read_magic(data) == MAGIC else _decode_tombstone(data, owner)


def decode_head(data: bytes, owner: RecordOwner) -> SessionSummary | Tombstone:
    """Decode the first HEAD_BYTES of stored bytes, checking header and summary only. Raises StateCorrupted."""
    return _decode_summary(data, owner)[0] if _read_magic(data) == MAGIC else _decode_tombstone(data, owner)


def encode_tombstone(ended_at: int, created_at: int, owner: RecordOwner) -> bytes:
    """Encode a tombstone. Times are in milliseconds since 1970."""
    blank = _TOMBSTONE.pack(TOMBSTONE_MAGIC, FORMAT, ended_at, created_at, _BLANK)
    head = blank[:-_CHECKSUM_BYTES]
    return head + owner.checksum(head, b"")


def _read_magic(data: bytes) -> bytes:
    if len(data) < _PREFIX.size:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {_TOMBSTONE.size} or more")
    magic: bytes
    magic, version = _PREFIX.unpack_from(data)
    if magic not in (MAGIC, TOMBSTONE_MAGIC):
        raise StateCorrupted(f"session record starts with {magic!r}, expected {MAGIC!r} or {TOMBSTONE_MAGIC!r}")
    if version != FORMAT:
        raise StateCorrupted(f"session record has format version {version}, expected {FORMAT}")
    return magic


def _checksum(*parts: bytes | memoryview) -> bytes:
    digest = blake2b(digest_size=_CHECKSUM_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _verify(stored: bytes, actual: bytes) -> None:
    if stored != actual:
        raise StateCorrupted(
            f"session record has checksum {stored.hex()}, expected {actual.hex()} by its content and its session"
        )


def _encode_summary(record: Record, body: bytes) -> bytes:
    writer = Writer()
    writer.text(record.model)
    writer.text(record.version)
    writer.raw(
        _SUMMARY.pack(
            record.created_at,
            record.expires_at,
            record.ttl_seconds,
            _DURABILITIES.index(record.durability),
            record.kept_steps,
            record.indexed_until,
            len(record.state),
            _checksum(body),
        )
    )
    return writer.join()


def _encode_body(record: Record) -> bytes:
    writer = Writer()
    writer.raw(record.state)
    writer.blob(record.origin, 1)
    writer.integer(len(record.keys), 1)
    for key in record.keys:
        writer.blob(key, 1)
    _encode_last(writer, record.last)
    writer.integer(len(record.kept), 1)
    for kept in record.kept:
        writer.integer(kept.step, 8)
        writer.integer(kept.timesteps, 8)
        writer.blob(kept.state, 4)
    return writer.join()


def _encode_last(writer: Writer, last: LastStep | None) -> None:
    writer.integer(last is not None, 1)
    if last is not None:
        writer.integer(last.step, 8)
        writer.blob(last.key_digest, 1)
        writer.blob(last.body_digest, 1)
        writer.blob(last.answer, 4)


def _decode_summary(data: bytes, owner: RecordOwner) -> tuple[SessionSummary, bytes, int]:
    """Return the summary, the checksum of the body, and the offset of the body."""
    if len(data) < HEADER_BYTES:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {HEADER_BYTES} or more")
    _, _, dtype, step, timesteps, _, fingerprint, checksum = _HEADER.unpack_from(data)
    reader = Reader(data, HEADER_BYTES)
    model, version = reader.text(), reader.text()
    created_at, expires_at, ttl_seconds, durability, kept_steps, indexed_until, state_bytes, body_checksum = (
        _SUMMARY.unpack(reader.raw(_SUMMARY.size))
    )
    summary = SessionSummary(
        model=model,
        version=version,
        fingerprint=fingerprint.hex(),
        dtype=_dtype(dtype),
        step=step,
        timesteps=timesteps,
        created_at=created_at,
        expires_at=expires_at,
        ttl_seconds=ttl_seconds,
        durability=_durability(durability),
        kept_steps=kept_steps,
        indexed_until=indexed_until,
        state_bytes=state_bytes,
    )
    view = memoryview(data)
    _verify(checksum, owner.checksum(view[: HEADER_BYTES - _CHECKSUM_BYTES], view[HEADER_BYTES : reader.offset]))
    return summary, body_checksum, reader.offset


def _decode_record(data: bytes, owner: RecordOwner) -> Record:
    summary, checksum, offset = _decode_summary(data, owner)
    _verify(checksum, _checksum(memoryview(data)[offset:]))
    reader = Reader(data, offset)
    record = Record(
        model=summary.model,
        version=summary.version,
        fingerprint=summary.fingerprint,
        dtype=summary.dtype,
        step=summary.step,
        timesteps=summary.timesteps,
        created_at=summary.created_at,
        expires_at=summary.expires_at,
        ttl_seconds=summary.ttl_seconds,
        durability=summary.durability,
        kept_steps=summary.kept_steps,
        indexed_until=summary.indexed_until,
        token=data,
        # Keyword arguments are evaluated in this order, which is the order of `_encode_body`.
        state=reader.raw(summary.state_bytes),
        origin=reader.blob(1),
        keys=tuple(reader.blob(1) for _ in range(reader.integer(1))),
        last=_decode_last(reader),
        kept=tuple(
            KeptStep(step=reader.integer(8), timesteps=reader.integer(8), state=reader.blob(4))
            for _ in range(reader.integer(1))
        ),
    )
    reader.finish()
    return record


def _decode_last(reader: Reader) -> LastStep | None:
    if not reader.integer(1):
        return None
    return LastStep(
        step=reader.integer(8), key_digest=reader.blob(1), body_digest=reader.blob(1), answer=reader.blob(4)
    )


def _decode_tombstone(data: bytes, owner: RecordOwner) -> Tombstone:
    if len(data) != _TOMBSTONE.size:
        raise StateCorrupted(f"tombstone has {len(data)} bytes, expected {_TOMBSTONE.size}")
    _, _, ended_at, created_at, checksum = _TOMBSTONE.unpack(data)
    _verify(checksum, owner.checksum(data[:-_CHECKSUM_BYTES], b""))
    return Tombstone(ended_at, created_at)


def _dtype(code: int) -> str:
    if code not in _DTYPE_NAMES:
        raise StateCorrupted(f"session record has dtype code {code}, expected 1 to {len(_DTYPES)}")
    return _DTYPE_NAMES[code]


def _durability(code: int) -> Durability:
    if code >= len(_DURABILITIES):
        raise StateCorrupted(f"session record has durability code {code}, expected 0 to {len(_DURABILITIES) - 1}")
    return _DURABILITIES[code]
