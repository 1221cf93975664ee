"""Digests that tell whether two requests are the same."""

import hashlib
import json
from dataclasses import MISSING, Field, fields, is_dataclass

SIZE = 16


def digest(kind: str, *parts: object) -> bytes:
    """Return 16 bytes over validated values. A field at its default counts as absent, so new fields change nothing."""
    text = json.dumps([kind, *(_plain(part) for part in parts)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:SIZE]


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        telling = [field for field in fields(value) if field.compare and not _is_default(field, value)]
        own = {field.name: getattr(value, field.name) for field in telling}
        return {"": type(value).__name__} | {name: _plain(one) for name, one in own.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value


def _is_default(field: "Field[object]", owner: object) -> bool:
    return field.default is not MISSING and bool(getattr(owner, field.name) == field.default)
