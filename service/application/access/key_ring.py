"""The API keys that are valid now."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.application.access.principal import Principal
from service.domain.access.api_keys import KEYS_SETTING, ApiKey, KeysFileError, digest_of


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """The ids of the keys that a change concerns."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)


class KeyRing:
    """API keys, and the principals that they stand for. Without any key, `required` is false.

    `next_expiry` is the time, in milliseconds since 1970, at which the next one of the keys expires.

    `keys` maps those of UNROLL_API_KEYS to their tenants. Those of a file, if `has_file`, are replaced while the
    service runs. A key is found by its SHA-256 in a dictionary, which compares hashes of these digests under a secret
    of the process: the time taken depends neither on how much of a wrong key is right nor on the number of keys.
    """

    def __init__(self, keys: Mapping[str, str] | None = None, *, has_file: bool = False) -> None:
        self._settings = {digest_of(key.encode("latin-1")): Principal(tenant) for key, tenant in (keys or {}).items()}
        self._keys: dict[bytes, ApiKey] = {}
        self._principals = dict(self._settings)
        self.required = has_file or bool(self._settings)
        self.next_expiry = math.inf

    @property
    def tenants(self) -> frozenset[str]:
        """The tenants of all keys."""
        return frozenset(principal.tenant for principal in self._principals.values())

    def find(self, key: bytes) -> Principal | None:
        """Return the principal that a key stands for, or None if it is not valid."""
        return self._principals.get(digest_of(key))

    def replace(self, keys: Sequence[ApiKey], now: int) -> KeyChanges:
        """Replace the keys of the file by those that are valid at `now`, in milliseconds since 1970.

        Principals of keys that are gone, or that allow something else, end. Raises KeysFileError for a key of
        UNROLL_API_KEYS, and changes nothing then.
        """
        self._require_new(keys)
        valid = {key.digest: key for key in keys if key.is_valid(now)}
        changes = self._compare(valid, {key.id for key in keys})
        before = self._principals
        principals = self._settings | {digest: self._principal(key) for digest, key in valid.items()}
        self._keys, self._principals = valid, principals
        self.next_expiry = min((key.expires_at for key in valid.values() if key.expires_at), default=math.inf)
        for digest, principal in before.items():
            if principals.get(digest) is not principal:
                principal.end()
        return changes

    def _require_new(self, keys: Sequence[ApiKey]) -> None:
        for index, key in enumerate(keys):
            if key.digest in self._settings:
                raise KeysFileError(
                    f"{KEYS_SETTING} is wrong, keys[{index}].digest is that of a key of UNROLL_API_KEYS: expected a "
                    "key of its own"
                )

    def _principal(self, key: ApiKey) -> Principal:
        """Return the principal of a key: the same one as before if it allows the same."""
        known = self._keys.get(key.digest)
        if known is not None and _allowed(known) == _allowed(key):
            return self._principals[key.digest]
        return Principal(key.tenant, key.id, key.is_admin, None if key.models is None else frozenset(key.models))

    def _compare(self, valid: Mapping[bytes, ApiKey], listed: set[str]) -> KeyChanges:
        gone = [key.id for digest, key in self._keys.items() if digest not in valid]
        return KeyChanges(
            added=[key.id for digest, key in valid.items() if digest not in self._keys],
            changed=[key.id for digest, key in valid.items() if digest in self._keys and self._keys[digest] != key],
            removed=[name for name in gone if name not in listed],
            expired=[name for name in gone if name in listed],
        )


def _allowed(key: ApiKey) -> tuple[object, ...]:
    """Return what a principal depends on."""
    return key.id, key.tenant, key.role, None if key.models is None else frozenset(key.models)
