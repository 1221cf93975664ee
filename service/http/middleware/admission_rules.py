"""Admission rules: which paths need no permit, and which requests open a session."""

import re

from starlette.types import Scope

#: Open to everyone, also on a worker that is full: operators and load balancers ask here.
EXEMPT_PATHS = ("/health/", "/metrics", "/docs", "/openapi.json")
#: A POST to one of these paths opens a session.
SESSION_OPENING_PATHS = re.compile(r"/v1/sessions(?:/import|/[^/]+/fork)?")


def is_exempt(scope: Scope) -> bool:
    """Return whether a request is served without permit, API key and deadline."""
    path: str = scope["path"]
    return path.startswith(EXEMPT_PATHS)


def opens_session(scope: Scope) -> bool:
    """Return whether a request opens a session, which a draining worker refuses."""
    return scope["method"] == "POST" and SESSION_OPENING_PATHS.fullmatch(scope["path"]) is not None
