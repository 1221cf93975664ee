"""API key in the body of a request, where clients of LibreTranslate send it."""

from functools import partial
from urllib.parse import parse_qsl

from pydantic_core import from_json
from starlette.types import Scope

from service.domain.runtime.fair_thread import run_sized
from service.http.errors import LIBRETRANSLATE_PATHS
from service.http.json_body import LONG_INTEGER
from service.http.middleware.headers import Headers

FIELD = "api_key"


def may_have_body_key(scope: Scope, headers: Headers) -> bool:
    """Return whether the API key of a request is to be found in its body, as no header has it."""
    return scope["path"] in LIBRETRANSLATE_PATHS and b"authorization" not in headers and b"x-api-key" not in headers


async def find_body_key(client: str, content: bytes) -> bytes:
    """Return the API key in the body of a request of `client`; empty if there is none."""
    return await run_sized(client, len(content), partial(_read_key, content))


def _read_key(content: bytes) -> bytes:
    """Return the API key in a JSON object or a form."""
    try:
        if content.lstrip()[:1] == b"{":
            key = None if LONG_INTEGER.search(content) else from_json(content).get(FIELD)
        else:
            key = dict(parse_qsl(content.decode("latin-1"), encoding="latin-1", max_num_fields=2048)).get(FIELD)
    except ValueError:
        return b""
    return key.encode("latin-1", "replace") if isinstance(key, str) else b""
