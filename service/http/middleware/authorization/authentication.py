"""Authentication by API key: Authorization: Bearer KEY, X-Api-Key: KEY, or a subprotocol of a WebSocket."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping

from starlette.types import Scope

from service.domain.errors import InvalidApiKey, MissingApiKey
from service.http.middleware.authorization.key_failures import KeyFailures
from service.http.middleware.headers import Headers

#: Beginning of a subprotocol that is an API key. The pages of a browser can set no other header of a WebSocket.
KEY_SUBPROTOCOL = b"bearer."
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

    def authenticate(self, scope: Scope, headers: Headers) -> str:
        """Return the tenant of a request. Raises MissingApiKey, InvalidApiKey, RateLimited."""
        if not self._tenants:
            return PUBLIC
        key = _request_key(headers)
        if not key:
            self._failures.record_missing(scope)
            raise MissingApiKey("no API key: expected the header Authorization: Bearer KEY, or X-Api-Key: KEY")
        tenant = self._tenants.get(self._digest(key))
        if tenant is None:
            self._failures.record_wrong(scope)
            raise InvalidApiKey("the API key is not one of those configured: expected one of them")
        return tenant

    async def hold_back(self, scope: Scope) -> None:
        """Wait before a request is refused that `authenticate` raised for, if its address has sent many of them."""
        if delay := self._failures.delay(scope):
            await asyncio.sleep(delay)

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=16, key=self._secret).digest()


def offered_subprotocols(headers: Headers) -> list[bytes]:
    """Return the subprotocols that the client of a WebSocket offers."""
    offered = headers.get(b"sec-websocket-protocol", b"")
    return [name for part in offered.split(b",") if (name := part.strip())]


def _request_key(headers: Headers) -> bytes:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    if b"x-api-key" in headers or b"sec-websocket-protocol" not in headers:
        return headers.get(b"x-api-key", b"")
    keys = [name for name in offered_subprotocols(headers) if name.startswith(KEY_SUBPROTOCOL)]
    return keys[0].removeprefix(KEY_SUBPROTOCOL) if keys else b""
