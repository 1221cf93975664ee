"""Who asks and until when, read from a request's headers."""

import re
import secrets
from collections.abc import Mapping

from service.domain.errors import InvalidApiKey, InvalidRequest, MissingApiKey

#: The one tenant of a service without keys.
PUBLIC = "public"
MAX_TIMEOUT_MS = 600_000


def request_id(headers: Mapping[str, str]) -> str:
    """Return the client's X-Request-Id if it is printable and short, else a new one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\x20-\x7e]{1,256}", given) else f"req_{secrets.token_hex(12)}"


def tenant(headers: Mapping[str, str], keys: Mapping[str, str]) -> str:
    """Return the tenant of the request's API key; `keys` maps keys to tenants. Raises MissingApiKey, InvalidApiKey."""
    if not keys:
        return PUBLIC
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    if not given:
        raise MissingApiKey("no API key: expected the header Authorization: Bearer KEY, or X-Api-Key: KEY")
    found = [owner for key, owner in keys.items() if secrets.compare_digest(key.encode(), given.encode())]
    if not found:
        raise InvalidApiKey("the API key is not one of those configured: expected one of them")
    return found[0]


def timeout(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of X-Request-Timeout-Ms, None without it. Raises InvalidRequest."""
    wanted = headers.get("x-request-timeout-ms")
    if wanted is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", wanted) or not 1 <= int(wanted) <= MAX_TIMEOUT_MS:
        raise InvalidRequest(
            f"X-Request-Timeout-Ms is {wanted[:40]!r}: expected an integer from 1 to {MAX_TIMEOUT_MS}",
            param="X-Request-Timeout-Ms",
        )
    return int(wanted) / 1000
