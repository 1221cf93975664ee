"""Requests with a well-formed head whose body, or one header, is wrong."""

import gzip
import random
from collections.abc import Callable

from tests.attack.attackers.grammar import Grammar
from tests.attack.wire import pack

_TYPES = ["text/plain", "", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "*/*", "\xff"]
_HEADERS: list[tuple[str, list[str]]] = [
    ("Idempotency-Key", ["", "k" * 256, "\xff\xfe", "a b\tc"]),
    ("X-Request-Timeout-Ms", ["0", "-1", "1e3", "600001", "9" * 400, "abc", "\xb2", ""]),
    ("X-Request-Id", ["x" * 300, "\xff", "a\tb"]),
    ("Authorization", ["Bearer", "Basic eDp5", "Bearer \xff", ""]),
    ("Expect", ["100-continue", "200-ok"]),
    ("Upgrade", ["h2c", "websocket", "\xff"]),
    ("Content-Encoding", ["gzip", "br"]),
    ("Host", ["", "evil", "[::1", "a" * 2000]),
]


def body_case(choose: random.Random, grammar: Grammar, key: str) -> bytes:
    """A well-formed head, and a body that is truncated, garbled, of another encoding or wrong by the grammar alone."""
    method, path, text = grammar.request()
    body = _garbled(choose, text)
    headers = {}
    if choose.random() < 0.1:
        name, values = choose.choice(_HEADERS)
        headers[name] = choose.choice(values)
    if choose.random() < 0.05:
        headers["Content-Type"] = choose.choice(_TYPES)
    return pack(method, path, body if method != "GET" else None, key, headers)


def _garbled(choose: random.Random, text: str) -> bytes:
    """Return the text as bytes, most often as it is."""
    body = text.encode("utf-8", "surrogatepass")
    spoilers: list[Callable[[], bytes]] = [
        lambda: body[: choose.randrange(len(body) + 1)],
        lambda: choose.randbytes(choose.choice([1, 10, 1000, 50_000])),
        lambda: _flipped(choose, body),
        lambda: text.encode(choose.choice(["utf-16", "utf-32"]), "surrogatepass"),
        lambda: gzip.compress(body, mtime=0),
        lambda: choose.choice([b"[", b'{"a":']) * choose.choice([900, 1000, 5000, 100_000]),
    ]
    return choose.choice(spoilers)() if choose.random() < 0.3 else body


def _flipped(choose: random.Random, body: bytes) -> bytes:
    flipped = bytearray(body)
    for _ in range(choose.randrange(1, 6) if body else 0):
        flipped[choose.randrange(len(flipped))] = choose.randrange(256)
    return bytes(flipped)
