"""Records as bytes: a fixed header, then length-prefixed fields; and the tombstones of ended sessions.

    header    72 bytes, little-endian: magic, format version, dtype, step, timesteps, nonce, model fingerprint, checksum
    facts     what a listing tells, and the checksum of the rest
    rest      state, digests, stored answer, kept states

The header stands for the whole record: its checksum covers the facts and through them the rest, and the random nonce
keeps two writes of equal content apart, so that a writer never takes a record that was rolled back and rewritten for
the one that it knows. It covers the owner too, tenant and session, without storing it: what was copied from another
session's key is foreign here. A listing reads and checks header and facts alone, however large the states are.
"""

import secrets
import struct
from dataclasses import dataclass
from hashlib import blake2b

from service.domain.errors import StateCorrupted
from service.domain.sessions import Durability, LastStep, Record, SessionSummary, Snapshot
from service.store.record.binary_io import Reader, Writer

MAGIC = b"UnrS"
TOMBSTONE_MAGIC = b"UnrE"
FORMAT = 2

_HEADER = struct.Struct("<4sHBxQQ8s32s8s")
#: Behind the names of model and version: created and expires at, time to live, durability, kept steps, indexed until,
#: the length of the state, and the checksum of the rest.
_FACTS = struct.Struct("<QQIBBQI8s")
_TOMBSTONE = struct.Struct("<4sHxxQQ8s")
_PREFIX = struct.Struct("<4sH")
_CHECKSUM_BYTES = 8
_BLANK = bytes(_CHECKSUM_BYTES)
HEADER_BYTES = _HEADER.size
#: Header, facts, and two names as long as a file system allows.
HEAD_BYTES = HEADER_BYTES + 2 * (2 + 255) + _FACTS.size

_DTYPES = {"float32": 1, "bfloat16": 2, "float16": 3, "float64": 4, "int8": 5}
_DTYPE_NAMES = {code: name for name, code in _DTYPES.items()}
_DURABILITIES: tuple[Durability, ...] = ("memory", "replicated", "fsynced")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a session that its client ended; times are milliseconds since 1970."""

    ended_at: int
    created_at: int


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """Whose record it is."""

    tenant: str
    session_id: str

    def seal(self, head: bytes | memoryview, facts: bytes | memoryview) -> bytes:
        """The checksum of what belongs to this session."""
        # The lengths keep the parts apart; the prefix of the keys is left out, so that a store can be moved to another.
        names = [name.encode() for name in (self.tenant, self.session_id)]
        return _checksum(*(part for name in names for part in (len(name).to_bytes(4, "little"), name)), head, facts)


def encode(record: Record, owner: RecordOwner) -> bytes:
    """The record's bytes under a fresh nonce; they are its new token.

    Raises ValueError for a dtype, durability or fingerprint that the format does not know, OverflowError for a number
    that it cannot hold.
    """
    if record.dtype not in _DTYPES:
        raise ValueError(f"dtype {record.dtype!r} is none of {', '.join(_DTYPES)}")
    fingerprint = bytes.fromhex(record.fingerprint)
    if len(fingerprint) != 32:
        raise ValueError(f"fingerprint has {len(fingerprint)} bytes, expected 32")
    rest = _encode_rest(record)
    nonce, dtype = secrets.token_bytes(8), _DTYPES[record.dtype]
    try:
        facts = _encode_facts(record, rest)
        blank = _HEADER.pack(MAGIC, FORMAT, dtype, record.step, record.timesteps, nonce, fingerprint, _BLANK)
    except struct.error as error:
        raise OverflowError(f"a number of the record does not fit its field: {error}") from error
    head = blank[:-_CHECKSUM_BYTES]
    return head + owner.seal(head, facts) + facts + rest


def decode(data: bytes, owner: RecordOwner) -> Record | Tombstone:
    """Read stored bytes back. Raises StateCorrupted for any bytes that this module did not write for `owner`."""
    return _decode_record(data, owner) if _magic(data) == MAGIC else _decode_tombstone(data, owner)


def decode_head(data: bytes, owner: RecordOwner) -> SessionSummary | Tombstone:
    """Read the first HEAD_BYTES of stored bytes, and check no more than header and facts. Raises StateCorrupted."""
    return _decode_facts(data, owner)[0] if _magic(data) == MAGIC else _decode_tombstone(data, owner)


def encode_tombstone(ended_at: int, created_at: int, owner: RecordOwner) -> bytes:
    """The tombstone of a session; times are milliseconds since 1970."""
    blank = _TOMBSTONE.pack(TOMBSTONE_MAGIC, FORMAT, ended_at, created_at, _BLANK)
    head = blank[:-_CHECKSUM_BYTES]
    return head + owner.seal(head, b"")


def _magic(data: bytes) -> bytes:
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


def _encode_facts(record: Record, rest: bytes) -> bytes:
    writer = Writer()
    writer.text(record.model)
    writer.text(record.version)
    writer.raw(
        _FACTS.pack(
            record.created_at,
            record.expires_at,
            record.ttl_seconds,
            _DURABILITIES.index(record.durability),
            record.kept_steps,
            record.indexed_until,
            len(record.state),
            _checksum(rest),
        )
    )
    return writer.join()


def _encode_rest(record: Record) -> bytes:
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
        writer.blob(last.key, 1)
        writer.blob(last.body, 1)
        writer.blob(last.answer, 4)


def _decode_facts(data: bytes, owner: RecordOwner) -> tuple[SessionSummary, bytes, int]:
    """The facts, the checksum of the rest, and where that begins."""
    if len(data) < HEADER_BYTES:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {HEADER_BYTES} or more")
    _, _, dtype, step, timesteps, _, fingerprint, checksum = _HEADER.unpack_from(data)
    reader = Reader(data, HEADER_BYTES)
    model, version = reader.text(), reader.text()
    created_at, expires_at, ttl_seconds, durability, kept_steps, indexed_until, state_bytes, of_rest = _FACTS.unpack(
        reader.take(_FACTS.size)
    )
    facts = SessionSummary(
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
    _verify(checksum, owner.seal(view[: HEADER_BYTES - _CHECKSUM_BYTES], view[HEADER_BYTES : reader.at]))
    return facts, of_rest, reader.at


def _decode_record(data: bytes, owner: RecordOwner) -> Record:
    facts, checksum, at = _decode_facts(data, owner)
    _verify(checksum, _checksum(memoryview(data)[at:]))
    reader = Reader(data, at)
    record = Record(
        model=facts.model,
        version=facts.version,
        fingerprint=facts.fingerprint,
        dtype=facts.dtype,
        step=facts.step,
        timesteps=facts.timesteps,
        created_at=facts.created_at,
        expires_at=facts.expires_at,
        ttl_seconds=facts.ttl_seconds,
        durability=facts.durability,
        kept_steps=facts.kept_steps,
        indexed_until=facts.indexed_until,
        token=data,
        # Keyword arguments are evaluated in this order, which is the order of `_encode_rest`.
        state=reader.take(facts.state_bytes),
        origin=reader.blob(1),
        keys=tuple(reader.blob(1) for _ in range(reader.integer(1))),
        last=_decode_last(reader),
        kept=tuple(
            Snapshot(step=reader.integer(8), timesteps=reader.integer(8), state=reader.blob(4))
            for _ in range(reader.integer(1))
        ),
    )
    reader.finish()
    return record


def _decode_last(reader: Reader) -> LastStep | None:
    if not reader.integer(1):
        return None
    return LastStep(step=reader.integer(8), key=reader.blob(1), body=reader.blob(1), answer=reader.blob(4))


def _decode_tombstone(data: bytes, owner: RecordOwner) -> Tombstone:
    if len(data) != _TOMBSTONE.size:
        raise StateCorrupted(f"tombstone has {len(data)} bytes, expected {_TOMBSTONE.size}")
    _, _, ended_at, created_at, checksum = _TOMBSTONE.unpack(data)
    _verify(checksum, owner.seal(data[:-_CHECKSUM_BYTES], b""))
    return Tombstone(ended_at, created_at)


def _dtype(code: int) -> str:
    if code not in _DTYPE_NAMES:
        raise StateCorrupted(f"session record has dtype code {code}, expected 1 to {len(_DTYPES)}")
    return _DTYPE_NAMES[code]


def _durability(code: int) -> Durability:
    if code >= len(_DURABILITIES):
        raise StateCorrupted(f"session record has durability code {code}, expected 0 to {len(_DURABILITIES) - 1}")
    return _DURABILITIES[code]
