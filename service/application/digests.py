"""Digests that tell whether two requests are the same."""

import hashlib
import json
from dataclasses import MISSING, Field, fields, is_dataclass

SIZE = 16


def digest(kind: str, *parts: object) -> bytes:
    """Return 16 bytes over validated values. A field at its default counts as absent, so new fields change nothing."""
    text = json.dumps([kind, *parts], sort_keys=True, ensure_ascii=False, default=_told)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:SIZE]


def _told(value: object) -> object:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else _telling_fields(value)


def _telling_fields(value: object) -> dict[str, object]:
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"no digest is known of {type(value).__name__}")
    telling = [field for field in fields(value) if field.compare and not _is_default(field, value)]
    return {"": type(value).__name__} | {field.name: getattr(value, field.name) for field in telling}


def _is_default(field: "Field[object]", owner: object) -> bool:
    return field.default is not MISSING and bool(getattr(owner, field.name) == field.default)
