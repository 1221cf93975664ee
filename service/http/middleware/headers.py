"""Request headers that any request may carry: its id and its timeout."""

import random
import re
from collections.abc import Mapping

from service.domain.errors import InvalidRequest

#: Lower-case names and their values, as ASGI hands them over. Of a header that is repeated, the last one.
Headers = Mapping[bytes, bytes]

#: Request ids are unique, not secret. Seeded from the operating system in every process that imports this.
_RANDOM = random.Random()

MAX_TIMEOUT_MS = 600_000
REQUEST_ID = re.compile(rb"[\x20-\x7e]{1,256}")
MILLISECONDS = re.compile(r"[0-9]{1,9}")


def request_id(headers: Headers) -> bytes:
    """Return the client's X-Request-Id if it is printable and has at most 256 characters, else a new one."""
    client_id = headers.get(b"x-request-id")
    if client_id is not None and REQUEST_ID.fullmatch(client_id):
        return client_id
    return b"req_%024x" % _RANDOM.getrandbits(96)


def timeout(headers: Headers) -> float | None:
    """Return X-Request-Timeout-Ms in seconds, or None without it. Raises InvalidRequest."""
    value = headers.get(b"x-request-timeout-ms")
    if value is None:
        return None
    text = value.decode("latin-1")
    if not MILLISECONDS.fullmatch(text) or not 1 <= int(text) <= MAX_TIMEOUT_MS:
        raise InvalidRequest(
            f"X-Request-Timeout-Ms is {text[:40]!r}: expected an integer from 1 to {MAX_TIMEOUT_MS}",
            param="X-Request-Timeout-Ms",
        )
    return int(text) / 1000
