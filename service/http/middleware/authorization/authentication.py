"""API keys in headers: Authorization: Bearer KEY, X-Api-Key: KEY, or a subprotocol of a WebSocket."""

from service.http.middleware.headers import Headers

#: Beginning of a subprotocol that is an API key. The pages of a browser can set no other header of a WebSocket.
KEY_SUBPROTOCOL = b"bearer."


def offered_subprotocols(headers: Headers) -> list[bytes]:
    """Return the subprotocols that the client of a WebSocket offers."""
    offered = headers.get(b"sec-websocket-protocol", b"")
    return [name for part in offered.split(b",") if (name := part.strip())]


def request_key(headers: Headers) -> bytes:
    """Return the API key of a request, empty if it has none."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    if b"x-api-key" in headers or b"sec-websocket-protocol" not in headers:
        return headers.get(b"x-api-key", b"")
    keys = [name for name in offered_subprotocols(headers) if name.startswith(KEY_SUBPROTOCOL)]
    return keys[0].removeprefix(KEY_SUBPROTOCOL) if keys else b""
