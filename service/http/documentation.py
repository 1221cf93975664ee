"""The page at /docs: Swagger UI, whose files the package fastapi-offline carries."""

import base64
import hashlib
import re
from typing import Final

from fastapi.openapi.docs import get_swagger_ui_html

from service.http.middleware.response_headers import ResponseHeaders, with_policy
from service.http.page_files import REVALIDATED

DOCS_PATH, OPENAPI_PATH = "/docs", "/openapi.json"

#: The page, the same for all services. Its addresses are relative, whatever path a proxy puts in front of them.
PAGE: Final = bytes(
    get_swagger_ui_html(
        openapi_url=OPENAPI_PATH.removeprefix("/"),
        title="Unroll",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    ).body
)


def _policy(page: bytes) -> bytes:
    """Return the Content-Security-Policy that lets a page load what it needs, and run its inline scripts only."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    # Swagger UI sets styles of its elements, and shows icons from data URLs.
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ).encode()


DOCS_HEADERS: Final[ResponseHeaders] = with_policy(_policy(PAGE), REVALIDATED)
