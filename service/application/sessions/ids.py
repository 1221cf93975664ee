"""Session ids: 128 random or derived bits and a MAC under the store's secret, which proves their origin."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from functools import lru_cache

from service.domain.errors import SessionNotFound

PREFIX = "ses_"
RANDOM_BYTES = 16
MAC_BYTES = 9
LENGTH = len(PREFIX) + (RANDOM_BYTES + MAC_BYTES) * 8 // 5
#: How many ids are known without another look: a stream sends its own again and again.
KNOWN_IDS = 4096


class SessionIds:
    """Generator and verifier of session ids. The MAC covers the tenant: an id of another tenant is invalid."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def random(self, tenant: str) -> str:
        """Return a new random id."""
        return _seal(self._secret, tenant, secrets.token_bytes(RANDOM_BYTES))

    def derived(self, tenant: str, *parts: str) -> str:
        """Return the id that is derived from `parts`, for creations that can be repeated."""
        return _seal(self._secret, tenant, _hmac(self._secret, "id", tenant, *parts)[:RANDOM_BYTES])

    def verify(self, tenant: str, session_id: str) -> bool:
        """Return whether this service issued the id to this tenant."""
        return len(session_id) == LENGTH and _verify(self._secret, tenant, session_id)

    def owner(self, tenants: Iterable[str], session_id: str) -> str | None:
        """Return which of `tenants` this service issued the id to, or None if it is none of them."""
        raw = _decode(session_id)
        if raw is None or len(session_id) != LENGTH:
            return None
        return next((tenant for tenant in tenants if _is_sealed(self._secret, tenant, raw, session_id)), None)

    def require(self, tenant: str, session_id: str) -> None:
        """Raise SessionNotFound if this service did not issue the id to this tenant."""
        if not self.verify(tenant, session_id):
            raise unknown_session(session_id)


def unknown_session(session_id: str) -> SessionNotFound:
    """Return the error of an id that this service did not issue to the tenant."""
    return SessionNotFound(f"no session {session_id[:80]!r}: expected an id that this service gave you")


@lru_cache(KNOWN_IDS)
def _verify(secret: bytes, tenant: str, session_id: str) -> bool:
    raw = _decode(session_id)
    return raw is not None and _is_sealed(secret, tenant, raw, session_id)


def _decode(session_id: str) -> bytes | None:
    try:
        return base64.b32decode(session_id.removeprefix(PREFIX).upper())
    except ValueError:
        return None


def _is_sealed(secret: bytes, tenant: str, raw: bytes, session_id: str) -> bool:
    return hmac.compare_digest(_seal(secret, tenant, raw[:RANDOM_BYTES]).encode(), session_id.encode())


def _seal(secret: bytes, tenant: str, body: bytes) -> str:
    mac = _hmac(secret, "mac", tenant, body.hex())[:MAC_BYTES]
    return PREFIX + base64.b32encode(body + mac).decode().lower()


def _hmac(secret: bytes, *parts: str) -> bytes:
    message = b"".join(len(raw).to_bytes(4, "big") + raw for raw in (part.encode() for part in parts))
    return hmac.digest(secret, message, hashlib.sha256)
