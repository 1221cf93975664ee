"""Admission rules: which paths need no permit or no API key, and which requests open a session."""

import re

from starlette.types import Scope

#: Open to everyone, also on a worker that is full: load balancers ask here.
HEALTH_PREFIXES = ("/health/", "/v2/health/")
#: Served without a permit, and to everyone if no API keys are configured or the operator says so.
METRICS_PATH = "/metrics"
OPERATIONS_PATHS = frozenset({METRICS_PATH, "/docs", "/openapi.json"})
#: Pages and their files, which hold no data: open to everyone, also on a worker that is full.
CONSOLE_PATH = "/"
PAGE_PREFIXES = ("/console/", "/docs/")
#: WebSockets of sessions. Their handshake is a GET.
STREAM_PATHS = re.compile(r"/v1/(?:sessions/[^/]+/)?stream")
#: A POST to one of these paths opens a session.
SESSION_OPENING_PATHS = re.compile(r"/v1/sessions(?:/import|/[^/]+/fork)?")


def is_exempt(scope: Scope) -> bool:
    """Return whether a request is served without permit and deadline."""
    return is_health(scope) or scope["path"] in OPERATIONS_PATHS or is_page(scope)


def is_page(scope: Scope) -> bool:
    """Return whether a request asks for the console or for a file that it or the documentation loads."""
    path: str = scope["path"]
    return path == CONSOLE_PATH or path.startswith(PAGE_PREFIXES)


def is_health(scope: Scope) -> bool:
    """Return whether a request asks for the health of the worker, which is served to everyone."""
    path: str = scope["path"]
    return path.startswith(HEALTH_PREFIXES)


def opens_session(scope: Scope) -> bool:
    """Return whether a request opens a session or a stream, which a draining worker refuses."""
    if scope["method"] == "POST":
        return SESSION_OPENING_PATHS.fullmatch(scope["path"]) is not None
    return "extensions" in scope and STREAM_PATHS.fullmatch(scope["path"]) is not None
