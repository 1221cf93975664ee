"""Names of everything in the store. Only a key's first pair of braces decides its slot, so each has at most one."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from service.domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys under one prefix. Raises SettingsError for a prefix with braces."""

    prefix: str

    def __post_init__(self) -> None:
        if not self.prefix or set(self.prefix) & set("{}"):
            raise SettingsError(f"store prefix is {self.prefix!r}, expected a text without braces, not empty")

    def session(self, tenant: str, session_id: str) -> str:
        """A session's record: each session is its own slot of a cluster."""
        return f"{self.prefix}:{_encoded(tenant)}:{{{_encoded(session_id)}}}"

    def index(self, tenant: str) -> tuple[str, str]:
        """A tenant's sorted sets by creation and by expiry, in one slot; no session key has text after its braces."""
        tag = f"{self.prefix}:{{index:{_encoded(tenant)}}}"
        return f"{tag}:created", f"{tag}:expiry"

    @property
    def tenants(self) -> str:
        """The set of tenants that have an index."""
        return f"{self.prefix}:tenants"

    @property
    def fleet(self) -> tuple[str, str]:
        """What the workers serve by worker, and the retiring versions, in one slot."""
        return f"{self.prefix}:{{models}}:workers", f"{self.prefix}:{{models}}:retiring"

    @property
    def secret(self) -> str:
        """The secret that all workers share."""
        return f"{self.prefix}:secret"


@lru_cache(16_384)
def _encoded(text: str) -> str:
    return quote(text, safe="")
