"""Sessions as values: their metadata, records and listings. Standard library only."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: A session: its tenant and its id.
SessionKey: TypeAlias = "tuple[str, str]"

Durability = Literal["memory", "replicated", "fsynced"]

#: How much of a session's id is logged: enough to find it again, too little to use it.
LOGGED_CHARACTERS = 12


@dataclass(frozen=True, slots=True, order=True)
class IndexPosition:
    """Position of a session in the index of all tenants' sessions."""

    tenant: str
    created_at: int
    session_id: str


@dataclass(frozen=True, slots=True)
class LastStep:
    """The last applied step, kept for its replay. `step` is the step count that it was applied at."""

    step: int
    key_digest: bytes
    body_digest: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class KeptStep:
    """An earlier state of a session, from which a fork may start."""

    step: int
    timesteps: int
    state: bytes


# Not frozen: the fields of a frozen dataclass are set three times as slowly, and every step makes a record.
@dataclass(slots=True, kw_only=True)
class SessionMetadata:
    """Properties and progress of a session. Times are milliseconds since 1970."""

    model: str
    version: str
    fingerprint: str
    dtype: str
    step: int
    timesteps: int
    created_at: int
    expires_at: int
    ttl_seconds: int
    durability: Durability
    kept_steps: int
    indexed_until: int = 0


@dataclass(slots=True, kw_only=True)
class Record(SessionMetadata):
    """Everything that the store holds of one session. Digests have 16 bytes.

    `token` are the stored bytes of the record that this one is or replaces, for compare-and-set; empty before the first
    write. The store sets it when it has written the record; no other field of a record changes. `origin` is the digest
    of a keyed create or fork, and random bytes behind it. `keys` are the digests of the last keys, newest last.
    """

    state: bytes
    origin: bytes = b""
    keys: tuple[bytes, ...] = ()
    last: LastStep | None = None
    kept: tuple[KeptStep, ...] = ()
    token: bytes = b""

    @property
    def state_bytes(self) -> int:
        """The size of the state."""
        return len(self.state)


@dataclass(slots=True, kw_only=True)
class SessionSummary(SessionMetadata):
    """Entry of a listing: the part of a session that the first bytes of its record hold."""

    state_bytes: int


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of a listing, newest first. `cursor` is None on the last page."""

    sessions: list[tuple[str, SessionSummary]]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What the live sessions of a tenant take: their number, and the bytes that they reserve in the store."""

    sessions: int
    reserved_bytes: int
