"""Authentication of requests by API key."""

import asyncio
import time
from collections.abc import Callable

from service.application.access.key_failures import KeyFailures
from service.application.access.key_ring import KeyRing
from service.application.access.principal import EVERYONE, Principal
from service.domain.errors import InvalidApiKey, MissingApiKey, UnrollError


class Authenticator:
    """Finds the principal of a request by its API key.

    If no keys are required, every request is one of EVERYONE. An address that sends more than `max_failures` wrong keys
    within a minute is told to wait, and its refusals are held back, while right keys are accepted from everywhere at
    once.
    """

    def __init__(self, keys: KeyRing, max_failures: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._failures = KeyFailures(max_failures, monotonic)

    def authenticate(self, key: bytes, address: str) -> Principal:
        """Return the principal of a request from `address`, whose key may be empty.

        Raises MissingApiKey, InvalidApiKey, RateLimited.
        """
        if not self._keys.required:
            return EVERYONE
        if not key:
            self._failures.record_missing(address)
            raise MissingApiKey("no API key: expected the header Authorization: Bearer KEY, or X-Api-Key: KEY")
        principal = self._keys.find(key)
        if principal is None:
            self._failures.record_wrong(address)
            raise InvalidApiKey("the API key is not one of those configured: expected one of them")
        return principal

    async def admit(self, key: bytes, address: str) -> Principal:
        """Return the principal as `authenticate` does, whose refusals wait if the address has had many of them."""
        try:
            return self.authenticate(key, address)
        except UnrollError:
            if delay := self._failures.delay(address):
                await asyncio.sleep(delay)
            raise
