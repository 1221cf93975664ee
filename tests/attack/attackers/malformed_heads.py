"""Heads that are nearly HTTP."""

import random

from tests.attack.attackers.grammar import Grammar

_LINES = [
    "GET /v1/models HTTP/1.1",
    "GET  /v1/models HTTP/1.1",
    "GET /v1/models HTTP/2.0",
    "GET /v1/models",
    "get /v1/models HTTP/1.1",
    "\x16\x03\x01\x02\x00",
    "PRI * HTTP/2.0",
    "GET http://[::1/v1/models HTTP/1.1",
    "CONNECT a:1 HTTP/1.1",
    "GET /\xff\xfe HTTP/1.1",
    "GET /v1/models HTTP/1.0",
    "GET /v1/models HTTP/9.9",
    "POST /v1/sessions HTTP/1.1",
    "GET /" + "a" * 70_000 + " HTTP/1.1",
    "GET /v1/models?" + "a=b&" * 5000 + " HTTP/1.1",
    "GET /v1/models#x HTTP/1.1",
    "",
    "\x00",
    "GET /%zz HTTP/1.1",
    "FOO / HTTP/1.1",
]
_FIELDS = [
    "Host: x",
    "Host : x",
    "Host",
    ": x",
    "X-A: " + "a" * 9000,
    "X-A: \x00",
    "X-\xff: a",
    " folded: x",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: +5",
    "Content-Length: 99999999999999999999",
    "Content-Length: 1e3",
    "Content-Length: 0x5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, chunked",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: x",
    "Sec-WebSocket-Version: 99",
    "Expect: 100-continue",
    "Connection: close",
    "Content-Type: application/json",
    "Authorization: Bearer ",
    "Cookie: " + "a=b;" * 2000,
    "X-Request-Timeout-Ms: \xb2",
]
_ENDS = ["\r\n", "\n", "\r", "\r\r\n", "\x00\r\n"]
_BODIES = [
    "",
    "{}",
    "5\r\n{}",
    "2\r\n{}\r\n0\r\n\r\n",
    "ffffffffffffffff\r\n{}",
    "-1\r\n",
    "2;x=" + "y" * 9000 + "\r\n{}\r\n0\r\n\r\n",
    "zz\r\n",
]


def head_case(choose: random.Random, grammar: Grammar, key: str) -> bytes:
    """Bytes that are nearly a head, perhaps with a body that does not fit to it. The sender then ends its side."""
    end = choose.choice(_ENDS) if choose.random() < 0.2 else "\r\n"
    repeated = choose.choice([1, 1, 1, 2, 200])
    fields = [field for field in choose.choices(_FIELDS, k=choose.randrange(8)) for _ in range(repeated)]
    if choose.random() < 0.5:
        fields.append(f"Authorization: Bearer {key}")
    lines = [choose.choice(_LINES), *fields, "", ""]
    head = end.join(lines).encode("latin-1")
    if choose.random() < 0.1:
        head = head[: choose.randrange(len(head) + 1)]
    return head + choose.choice(_BODIES).encode("latin-1")
