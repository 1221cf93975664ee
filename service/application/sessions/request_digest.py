"""Request digests, by which repeated requests are recognised."""

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from functools import cache

SIZE = 16
#: Digests are stored and hold the names of classes and fields: a renamed class keeps its former name in them.
STORED_NAMES = {"StateImport": "Import"}


def digest(kind: str, *parts: object) -> bytes:
    """Return 16 bytes over validated values. Fields at their defaults are left out, so new fields change nothing."""
    text = _ENCODER.encode([kind, *parts])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:SIZE]


def _encode_value(value: object) -> object:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else _fields_of(value)


def _fields_of(value: object) -> dict[str, object]:
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"no digest is known of {type(value).__name__}")
    name = type(value).__name__
    encoded: dict[str, object] = {"": STORED_NAMES.get(name, name)}
    for name, default in _defaults(type(value)):
        field_value = getattr(value, name)
        if default is MISSING or field_value != default:
            encoded[name] = field_value
    return encoded


@cache
def _defaults(kind: type) -> list[tuple[str, object]]:
    """Return names and defaults of the fields of a dataclass that take part in comparisons."""
    return [(field.name, field.default) for field in fields(kind) if field.compare]


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_encode_value)
