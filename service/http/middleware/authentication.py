"""Authentication by API key: Authorization: Bearer KEY, or X-Api-Key: KEY."""

import secrets
from collections.abc import Mapping

from service.domain.errors import InvalidApiKey, MissingApiKey
from service.http.middleware.headers import Headers

#: The only tenant of a service without keys.
PUBLIC = "public"


def authenticate(headers: Headers, keys: Mapping[str, str]) -> str:
    """Return the tenant of a request's API key. Raises MissingApiKey, InvalidApiKey.

    `keys` maps API keys to tenants. Without any, every request belongs to the tenant PUBLIC.
    """
    if not keys:
        return PUBLIC
    request_key = _request_key(headers)
    if not request_key:
        raise MissingApiKey("no API key: expected the header Authorization: Bearer KEY, or X-Api-Key: KEY")
    # Every key is compared, so that the time taken does not depend on which one matches.
    tenants = [tenant for key, tenant in keys.items() if secrets.compare_digest(key.encode(), request_key)]
    if not tenants:
        raise InvalidApiKey("the API key is not one of those configured: expected one of them")
    return tenants[0]


def _request_key(headers: Headers) -> bytes:
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", b"").decode("latin-1")
    return key.encode()
