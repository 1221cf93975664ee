"""Requests for every operation of the service's own OpenAPI document, damaged in one place."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.attack.attackers.damage import damaged, damaged_bytes
from tests.attack.attackers.grammar import MODELS, NAMES, TEXTS
from tests.attack.wire import pack_head

_METHODS = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "POST", "PROPFIND", "CONNECT", "get"]
_VALUES = ["", "%00", "%ff", "%ED%A0%80", "-1", "1e9", "9" * 400, "..%2f..", "%0d%0aX-A:%20b", "a" * 3000, "\xff", "+"]
_TAILS = ["/", "//", "%00", ";x", "?", "?a", "#x", "/..", "/../../metrics", "\xff", "%", "%zz", "?" + "a=b&" * 3000]
_TYPES = [
    "text/plain",
    "",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "*/*",
    "application/json, text/plain",
    "\xff",
]
_HEADERS = [
    ("Idempotency-Key", ["", "k" * 256, "\xff\xfe", "a b\tc", "'" * 20]),
    ("X-Request-Timeout-Ms", ["0", "-1", "1e3", "600001", "9" * 400, "abc", "\xb2", "", "1.5", " 5 "]),
    ("X-Request-Id", ["x" * 300, "\xff", "a\tb"]),
    ("Authorization", ["Bearer", "Basic eDp5", "Bearer \xff", "", "Bearer " + "x" * 9000]),
    ("X-Api-Key", ["", "\xff", "x"]),
    ("Upgrade", ["h2c", "websocket", "\xff"]),
    ("Connection", ["upgrade", "close", "keep-alive, upgrade", "\xff"]),
    ("Accept", ["text/html", "text/event-stream", "\xff"]),
    ("Host", ["", "evil", "[::1", "a" * 2000, "a b"]),
    ("Range", ["bytes=0-1"]),
    ("Cookie", ["a=b;" * 2000]),
    ("X-Forwarded-For", ["1.2.3.4"]),
    ("Inference-Header-Content-Length", ["0", "-1", "9" * 30, "5", "\xb2", ""]),
]
_OPTIONAL = 0.4
_WITH_BODY = 0.6
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, its parameters by place, and the schemas of its bodies by content type."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    bodies: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """The operations of an OpenAPI document, and the schemas that it names."""

    operations: tuple[Operation, ...]
    schemas: Mapping[str, Any]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Contract":
        """Read an OpenAPI document."""
        operations = [
            Operation(
                method.upper(),
                path,
                tuple((parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])),
                {
                    name: content.get("schema", {})
                    for name, content in operation.get("requestBody", {}).get("content", {}).items()
                },
            )
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        return cls(tuple(operations), document.get("components", {}).get("schemas", {}))

    def request(self, choose: random.Random, key: str, sessions: list[str]) -> bytes:
        """Return a request for one of the operations. Half of those with a body are damaged only there."""
        with_bodies = [operation for operation in self.operations if operation.bodies]
        operation = choose.choice(with_bodies if choose.random() < _WITH_BODY else self.operations)
        path, headers = self._path(choose, operation, sessions), {"Host": "127.0.0.1", "Authorization": f"Bearer {key}"}
        method, body = operation.method, None
        if operation.bodies:
            content_type, schema = choose.choice(list(operation.bodies.items()))
            headers["Content-Type"] = content_type
            body = self._body(choose, content_type, schema, sessions)
        if body is None or choose.random() < 0.5:
            method, path = self._spoil(choose, method, path, headers)
        return _framed(choose, method, path, headers, body)

    def _path(self, choose: random.Random, operation: Operation, sessions: list[str]) -> str:
        path, query = operation.path, list[str]()
        usual = {"model": MODELS, "session_id": sessions or ["ses_none"], "version": ["1", "2", "01"]}
        for place, name in operation.parameters:
            hostile = choose.random() < 0.15
            value = choose.choice([*NAMES, *_VALUES] if hostile else usual.get(name, ["1", "60", "memory"]))
            if place == "path":
                path = path.replace(f"{{{name}}}", value)
            elif place == "query" and choose.random() < 0.5:
                query.append(f"{name}={choose.choice([value, *_VALUES])}")
        return path + ("?" + "&".join(query) if query else "")

    def _spoil(self, choose: random.Random, method: str, path: str, headers: dict[str, str]) -> tuple[str, str]:
        """Spoil the method, the path or a header, or nothing of them."""
        kind = choose.randrange(5)
        if kind == 0:
            method = choose.choice(_METHODS)
        elif kind == 1:
            path += choose.choice(_TAILS)
        elif kind == 2:
            name, values = choose.choice(_HEADERS)
            headers[name] = choose.choice(values)
        elif kind == 3:
            headers["Content-Type"] = choose.choice(_TYPES)
        return method, path

    def _body(self, choose: random.Random, content_type: str, schema: Any, sessions: list[str]) -> bytes:
        example = self.example(choose, schema, sessions)
        if content_type == "application/json":
            return damaged(choose, example)
        if isinstance(example, dict):
            form = "&".join(f"{name}={value}" for name, value in example.items())
            return damaged_bytes(choose, form.encode("utf-8", "surrogatepass"))
        return damaged_bytes(choose, damaged(choose, {"inputs": []}) + choose.randbytes(choose.choice([0, 8, 300])))

    def example(self, choose: random.Random, schema: Any, sessions: list[str], depth: int = 0) -> Any:
        """Return a value of a schema by chance, one of its examples at times."""
        schema = self._resolved(choose, schema)
        if schema.get("examples") and choose.random() < 0.5:
            return _with_session(choose.choice(schema["examples"]), choose.choice(sessions or ["ses_none"]))
        kind = schema.get("type", "string" if "enum" in schema or "const" in schema else "object")
        if kind == "object":
            return self._object(choose, schema, sessions, depth)
        if kind == "array":
            count = choose.randrange(schema.get("minItems", 0), schema.get("minItems", 0) + 3)
            return [self.example(choose, schema.get("items", {}), sessions, depth + 1) for _ in range(count)]
        return _scalar(choose, kind, schema)

    def _resolved(self, choose: random.Random, schema: Any) -> Any:
        """Return the schema that another one names, or one of those that it allows."""
        while "$ref" in schema or "anyOf" in schema:
            name = schema.get("$ref", "").rpartition("/")[2]
            schema = self.schemas[name] if name else choose.choice(schema["anyOf"])
        return schema

    def _object(self, choose: random.Random, schema: Any, sessions: list[str], depth: int) -> dict[str, Any]:
        known = {"model": MODELS, "session_id": sessions or ["ses_none"]}
        made, required = {}, schema.get("required", ())
        for name, value in schema.get("properties", {}).items():
            if name in required or (depth < _DEPTH and choose.random() < _OPTIONAL):
                usual = known.get(name)
                made[name] = choose.choice(usual) if usual else self.example(choose, value, sessions, depth + 1)
        return made


def _with_session(example: Any, session: str) -> Any:
    """Return an example of the document that names a session which exists."""
    if isinstance(example, dict):
        return {name: session if name == "session_id" else _with_session(at, session) for name, at in example.items()}
    return [_with_session(one, session) for one in example] if isinstance(example, list) else example


def _scalar(choose: random.Random, kind: str, schema: Mapping[str, Any]) -> Any:
    if "const" in schema or "enum" in schema:
        return schema.get("const", choose.choice(schema.get("enum", [None])))
    least = schema.get("minimum", 0)
    if kind == "integer":
        return int(choose.choice([least, least + 1, min(schema.get("maximum", 100), 100)]))
    if kind == "number":
        return choose.choice([0.5, least, 1.0])
    if kind == "boolean":
        return choose.random() < 0.5
    texts = ["tea", "I would like", "2015-01-05T00:00:00Z", "fsynced", *TEXTS]
    return choose.choice(texts) if kind == "string" else None


def _framed(choose: random.Random, method: str, path: str, headers: dict[str, str], body: bytes | None) -> bytes:
    """Put a request together; a body is at times framed in a way that is rare, wrong or two ways at once."""
    if body is None:
        return pack_head(method, path, None, "", headers)
    if choose.random() < 0.8:
        return pack_head(method, path, None, "", {**headers, "Content-Length": str(len(body))}) + body
    chunks = _chunks(choose, body)
    size = str(len(body))
    framings: list[tuple[dict[str, str], bytes]] = [
        ({"Transfer-Encoding": "chunked"}, chunks),
        ({"Transfer-Encoding": "chunked", "Content-Length": size}, chunks),
        ({"Transfer-Encoding": "gzip, chunked"}, chunks),
        ({"Transfer-Encoding": "chunked\r\nTransfer-Encoding: chunked"}, chunks),
        ({"Content-Length": f"{size}\r\nContent-Length: {size}"}, body),
        ({"Content-Length": f"{size}\r\nContent-Length: {len(body) + 1}"}, body),
        ({"Content-Length": f"{size}, {size}"}, body),
        ({"Content-Length": f"+{size}"}, body),
        ({"Content-Length": "0" * 300 + size}, body),
        ({"Content-Length": size, "Expect": choose.choice(["100-continue", "200-ok"])}, body),
        ({"Content-Length": size, "Content-Encoding": choose.choice(["gzip", "br", "deflate", "identity"])}, body),
        ({}, body),
    ]
    fields, content = choose.choice(framings)
    return pack_head(method, path, None, "", {**headers, **fields}) + content


def _chunks(choose: random.Random, body: bytes) -> bytes:
    """Return a body in chunks, with extensions and trailers at times."""
    size = choose.choice([1, 7, 4096]) if len(body) < 3000 else 4096
    extension = choose.choice([b"", b"", b";a=b", b";" + b"x" * 300, b' ;a="b"'])
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    trailers = choose.choice([b"", b"", b"X-A: b\r\n", b"Content-Length: 5\r\n" * 3, b"X: y\r\n" * 150])
    ends = choose.choice([b"0\r\n", b"0\r\n", b"00\r\n", b"-0\r\n", b"0;x\r\n"])
    return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + ends + trailers + b"\r\n"


def read_contract(text: str) -> Contract:
    """Read the text of an OpenAPI document."""
    return Contract.parse(json.loads(text))
