"""The page at /docs: Swagger UI, which a browser loads from a content delivery network."""

import base64
import hashlib
import re
from typing import Final

from fastapi.openapi.docs import get_swagger_ui_html

from service.http.middleware.response_headers import ResponseHeaders, with_policy

DOCS_PATH, OPENAPI_PATH = "/docs", "/openapi.json"
ASSETS = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"

#: The page, the same for all services.
PAGE: Final = bytes(
    get_swagger_ui_html(
        openapi_url=OPENAPI_PATH.removeprefix("/"),  # beside the page, whatever path a proxy puts in front of both
        title="Unroll",
        swagger_js_url=f"{ASSETS}swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}swagger-ui.css",
        swagger_favicon_url="data:,",
    ).body
)


def _policy(page: bytes) -> bytes:
    """Return the Content-Security-Policy that lets a page load what it needs, and run its inline scripts only."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
    sources = " ".join([ASSETS, *(f"'sha256-{digest}'" for digest in hashes)])
    # Swagger UI sets styles of its elements, and shows icons from data URLs.
    return (
        f"default-src 'none'; script-src {sources}; style-src {ASSETS} 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ).encode()


DOCS_HEADERS: Final[ResponseHeaders] = with_policy(_policy(PAGE))
