"""Records as bytes: a fixed header, then length-prefixed fields; and the tombstones of ended sessions.

The header (72 bytes, little-endian): magic, format version, dtype, step, timesteps, nonce, model fingerprint, checksum.
It is the record's token: the checksum covers everything, and the random nonce keeps two writes of equal content apart,
so that a writer never takes a record that was rolled back and rewritten for the one that it knows. The checksum covers
the owner too, tenant and session, without storing it: what was copied from another session's key is foreign here.
"""

import secrets
import struct
from dataclasses import dataclass
from hashlib import blake2b

from service.errors import StateCorrupted
from service.store.fields import Reader, Writer
from service.types import Durability, KeptState, LastStep, Record

MAGIC = b"UnrS"
TOMBSTONE_MAGIC = b"UnrE"
FORMAT = 2

_HEADER = struct.Struct("<4sHBxQQ8s32s8s")
_TOMBSTONE = struct.Struct("<4sHxxQ8s")
_PREFIX = struct.Struct("<4sH")
_CHECKSUM_BYTES = 8
HEADER_BYTES = _HEADER.size

_DTYPES = {"float32": 1, "bfloat16": 2, "float16": 3, "float64": 4, "int8": 5}
_DTYPE_NAMES = {code: name for name, code in _DTYPES.items()}
_DURABILITIES: tuple[Durability, ...] = ("memory", "replicated", "fsynced")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a session that its client ended, at `ended_at` milliseconds since 1970."""

    ended_at: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose record it is."""

    tenant: str
    session_id: str

    def seal(self, head: bytes, body: bytes | memoryview) -> bytes:
        """The checksum of what belongs to this session."""
        # The lengths keep the parts apart; the prefix of the keys is left out, so that a store can be moved to another.
        digest = blake2b(digest_size=_CHECKSUM_BYTES)
        for name in (self.tenant.encode(), self.session_id.encode()):
            digest.update(len(name).to_bytes(4, "little") + name)
        digest.update(head)
        digest.update(body)
        return digest.digest()


def encode(record: Record, owner: Owner) -> bytes:
    """The record's bytes under a fresh nonce; their first HEADER_BYTES are its new token.

    Raises ValueError for a dtype, durability or fingerprint that the format does not know, OverflowError for a number
    that it cannot hold.
    """
    if record.dtype not in _DTYPES:
        raise ValueError(f"dtype {record.dtype!r} is none of {', '.join(_DTYPES)}")
    fingerprint = bytes.fromhex(record.fingerprint)
    if len(fingerprint) != 32:
        raise ValueError(f"fingerprint has {len(fingerprint)} bytes, expected 32")
    body = _encode_body(record)
    nonce = secrets.token_bytes(8)
    blank = _HEADER.pack(
        MAGIC, FORMAT, _DTYPES[record.dtype], record.step, record.timesteps, nonce, fingerprint, bytes(_CHECKSUM_BYTES)
    )
    head = blank[:-_CHECKSUM_BYTES]
    return head + owner.seal(head, body) + body


def decode(data: bytes, owner: Owner) -> Record | Tombstone:
    """Read stored bytes back. Raises StateCorrupted for anything that `encode` or `bury` did not write for `owner`."""
    if len(data) < _PREFIX.size:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {_TOMBSTONE.size} or more")
    magic, version = _PREFIX.unpack_from(data)
    if magic not in (MAGIC, TOMBSTONE_MAGIC):
        raise StateCorrupted(f"session record starts with {magic!r}, expected {MAGIC!r} or {TOMBSTONE_MAGIC!r}")
    if version != FORMAT:
        raise StateCorrupted(f"session record has format version {version}, expected {FORMAT}")
    return _decode_record(data, owner) if magic == MAGIC else _decode_tombstone(data, owner)


def bury(ended_at: int, owner: Owner) -> bytes:
    """The tombstone of a session that ended at `ended_at` milliseconds since 1970."""
    head = _TOMBSTONE.pack(TOMBSTONE_MAGIC, FORMAT, ended_at, bytes(_CHECKSUM_BYTES))[:-_CHECKSUM_BYTES]
    return head + owner.seal(head, b"")


def token_of(data: bytes) -> bytes:
    """The token of encoded bytes."""
    return data[:HEADER_BYTES]


def _verify(data: bytes, header_bytes: int, owner: Owner) -> None:
    if len(data) < header_bytes:
        raise StateCorrupted(f"session record has {len(data)} bytes, expected {header_bytes} or more")
    stored = data[header_bytes - _CHECKSUM_BYTES : header_bytes]
    actual = owner.seal(data[: header_bytes - _CHECKSUM_BYTES], memoryview(data)[header_bytes:])
    if stored != actual:
        raise StateCorrupted(
            f"session record has checksum {stored.hex()}, expected {actual.hex()} by its content and its session"
        )


def _encode_body(record: Record) -> bytes:
    writer = Writer()
    writer.text(record.model)
    writer.text(record.version)
    writer.integer(record.created_at, 8)
    writer.integer(record.expires_at, 8)
    writer.integer(record.ttl_seconds, 4)
    writer.integer(_DURABILITIES.index(record.durability), 1)
    writer.integer(record.kept_steps, 1)
    writer.integer(record.indexed_until, 8)
    writer.blob(record.state, 4)
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


def _decode_record(data: bytes, owner: Owner) -> Record:
    _verify(data, HEADER_BYTES, owner)
    _, _, dtype, step, timesteps, _, fingerprint, _ = _HEADER.unpack_from(data)
    reader = Reader(data, HEADER_BYTES)
    record = Record(
        fingerprint=fingerprint.hex(),
        dtype=_dtype(dtype),
        step=step,
        timesteps=timesteps,
        token=token_of(data),
        # Keyword arguments are evaluated in this order, which is the order of `_encode_body`.
        model=reader.text(),
        version=reader.text(),
        created_at=reader.integer(8),
        expires_at=reader.integer(8),
        ttl_seconds=reader.integer(4),
        durability=_durability(reader.integer(1)),
        kept_steps=reader.integer(1),
        indexed_until=reader.integer(8),
        state=reader.blob(4),
        origin=reader.blob(1),
        keys=tuple(reader.blob(1) for _ in range(reader.integer(1))),
        last=_decode_last(reader),
        kept=tuple(
            KeptState(step=reader.integer(8), timesteps=reader.integer(8), state=reader.blob(4))
            for _ in range(reader.integer(1))
        ),
    )
    reader.finish()
    return record


def _decode_last(reader: Reader) -> LastStep | None:
    if not reader.integer(1):
        return None
    return LastStep(step=reader.integer(8), key=reader.blob(1), body=reader.blob(1), answer=reader.blob(4))


def _decode_tombstone(data: bytes, owner: Owner) -> Tombstone:
    _verify(data, _TOMBSTONE.size, owner)
    if len(data) != _TOMBSTONE.size:
        raise StateCorrupted(f"tombstone has {len(data)} bytes, expected {_TOMBSTONE.size}")
    return Tombstone(ended_at=_TOMBSTONE.unpack(data)[2])


def _dtype(code: int) -> str:
    if code not in _DTYPE_NAMES:
        raise StateCorrupted(f"session record has dtype code {code}, expected 1 to {len(_DTYPES)}")
    return _DTYPE_NAMES[code]


def _durability(code: int) -> Durability:
    if code >= len(_DURABILITIES):
        raise StateCorrupted(f"session record has durability code {code}, expected 0 to {len(_DURABILITIES) - 1}")
    return _DURABILITIES[code]
