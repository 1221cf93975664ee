"""Names of all keys in the store. The text in a key's first pair of braces selects its slot in a cluster."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from service.domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix. Raises SettingsError for an empty prefix or one with braces."""

    prefix: str

    def __post_init__(self) -> None:
        if not self.prefix or set(self.prefix) & set("{}"):
            raise SettingsError(f"store prefix is {self.prefix!r}, expected a text without braces, not empty")

    def session(self, tenant: str, session_id: str) -> str:
        """Return the key of a session's record. Sessions are distributed over all slots."""
        return f"{self.prefix}:{_percent_encode(tenant)}:{{{_percent_encode(session_id)}}}"

    def index(self, tenant: str) -> tuple[str, str]:
        """Return the keys of a tenant's sorted sets by creation and by expiry, in one slot.

        They never equal a session's key, which ends with its braces.
        """
        tag = f"{self.prefix}:{{index:{_percent_encode(tenant)}}}"
        return f"{tag}:created", f"{tag}:expiry"

    def reservations(self, tenant: str) -> tuple[str, str]:
        """Return the keys of a tenant's sorted set by expiry, and of the sum of the bytes that its sessions reserve."""
        expiry = self.index(tenant)[1]
        return expiry, expiry.removesuffix("expiry") + "bytes"

    def index_scripts(self, tenant: str) -> tuple[str, str, str]:
        """Return the keys of the scripts that change an index: by creation, by expiry, reserved bytes."""
        return self.index(tenant)[0], *self.reservations(tenant)

    def bucket(self, tenant: str, name: str) -> str:
        """Return the key of a bucket of tokens, by which a rate of a tenant is limited."""
        return f"{self.prefix}:{{rate:{_percent_encode(tenant)}}}:{name}"

    @property
    def tenants(self) -> str:
        """Key of the set of tenants that have an index."""
        return f"{self.prefix}:tenants"

    @property
    def worker_registry(self) -> tuple[str, str, str]:
        """Keys of the hashes of versions by worker and of retiring versions, and of the set of unloaded models.

        They are in one slot.
        """
        tag = f"{self.prefix}:{{models}}"
        return f"{tag}:workers", f"{tag}:retiring", f"{tag}:unloaded"

    @property
    def secret(self) -> str:
        """Key of the secret that all workers share."""
        return f"{self.prefix}:secret"


@lru_cache(4096)
def _percent_encode(text: str) -> str:
    return quote(text, safe="")
