"""Headers that every response carries, precomputed for each kind of response."""

from typing import Final, TypeAlias

ResponseHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]

#: No response is interpreted as another type than its own.
_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")


def with_policy(content_security_policy: bytes, cache_control: bytes = b"no-store") -> ResponseHeaders:
    """Return the headers of a response with a Content-Security-Policy, which by default no cache stores."""
    return _NO_SNIFF, (b"cache-control", cache_control), (b"content-security-policy", content_security_policy)


#: The response is data. A browser that shows it as a page loads nothing and does not show it in a frame.
DATA_HEADERS: Final = with_policy(b"default-src 'none'; frame-ancestors 'none'")
