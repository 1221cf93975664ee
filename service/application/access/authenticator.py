"""Authentication of requests by API key."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping

from service.application.access.key_failures import KeyFailures
from service.domain.errors import InvalidApiKey, MissingApiKey, UnrollError

#: The only tenant of a service without keys.
PUBLIC = "public"


class Authenticator:
    """Finds the tenant of a request by its API key.

    `keys` maps API keys to tenants; without any, every request belongs to the tenant PUBLIC. An address that sends more
    than `max_failures` wrong keys within a minute is told to wait, and its refusals are held back, while right keys are
    accepted from everywhere at once.

    Keys are found by their digest under a secret of this process. The time taken depends neither on how much of a
    wrong key is right nor on the number of keys.
    """

    def __init__(
        self, keys: Mapping[str, str], max_failures: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._secret = secrets.token_bytes(32)
        self._tenants = {self._digest(key.encode("latin-1")): tenant for key, tenant in keys.items()}
        self._failures = KeyFailures(max_failures, monotonic)

    def authenticate(self, key: bytes, address: str) -> str:
        """Return the tenant of a request from `address`, whose key may be empty.

        Raises MissingApiKey, InvalidApiKey, RateLimited.
        """
        if not self._tenants:
            return PUBLIC
        if not key:
            self._failures.record_missing(address)
            raise MissingApiKey("no API key: expected the header Authorization: Bearer KEY, or X-Api-Key: KEY")
        tenant = self._tenants.get(self._digest(key))
        if tenant is None:
            self._failures.record_wrong(address)
            raise InvalidApiKey("the API key is not one of those configured: expected one of them")
        return tenant

    async def admit(self, key: bytes, address: str) -> str:
        """Return the tenant of a request as `authenticate`, whose refusals wait if the address has had many of them."""
        try:
            return self.authenticate(key, address)
        except UnrollError:
            if delay := self._failures.delay(address):
                await asyncio.sleep(delay)
            raise

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=16, key=self._secret).digest()
