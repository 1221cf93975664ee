"""Owner of a record, and the checksum that ties a record to it."""

from dataclasses import dataclass
from hashlib import blake2b

from service.domain.errors import StateCorrupted

CHECKSUM_BYTES = 8


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """Tenant and session that a record belongs to."""

    tenant: str
    session_id: str

    def checksum(self, head: bytes | memoryview, summary: bytes | memoryview) -> bytes:
        """Return the checksum of a record's head and summary for this owner."""
        tenant, session_id = self.tenant.encode(), self.session_id.encode()
        # The lengths delimit the names. The prefix of keys is not covered, so that records can move to another prefix.
        names = (len(tenant).to_bytes(4, "little"), tenant, len(session_id).to_bytes(4, "little"), session_id)
        return blake2b(b"".join((*names, head, summary)), digest_size=CHECKSUM_BYTES).digest()


def verify(stored: bytes, actual: bytes) -> None:
    """Raise StateCorrupted unless both checksums are equal."""
    if stored != actual:
        raise StateCorrupted(
            f"session record has checksum {stored.hex()}, expected {actual.hex()} by its content and its session"
        )
