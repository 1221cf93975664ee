"""Fields of an entry in a file of API keys: how each is read, and what is expected of it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from service.domain.errors import SettingsError
from service.domain.limits import NAMES, parse_limit
from service.domain.rfc3339 import parse_rfc3339

ROLES = ("client", "admin")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: `*` stands for all tenants, and `,`, `:` and `=` separate them from others in settings.
_TENANT = re.compile(r"[A-Za-z0-9._@/+-]{1,128}")
_MODEL = re.compile(r"[^\x00-\x1f/]{1,256}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_NOTE = 1000
_MAX_MODELS = 1000


class Entry(NamedTuple):
    """A value of a field, and where it stands."""

    place: str
    value: Any

    def wrong(self, expected: str) -> SettingsError:
        """Return the error of a value other than the one expected."""
        return SettingsError(f"{self.place} is {json.dumps(self.value)[:100]}: expected {expected}")


@dataclass(frozen=True, slots=True)
class Field:
    """A field: what is expected of its value, and the function that returns the value, or None for another one."""

    expected: str
    read: Callable[[Entry], Any]

    def parse(self, entry: Entry) -> Any:  # noqa: ANN401 - of the type of the field
        """Return the value of an entry. Raises SettingsError."""
        value = self.read(entry)
        if value is None:
            raise entry.wrong(self.expected)
        return value


def _text(pattern: re.Pattern[str]) -> Callable[[Entry], str | None]:
    return lambda entry: (
        entry.value if isinstance(entry.value, str) and pattern.fullmatch(entry.value) is not None else None
    )


def _digest(entry: Entry) -> bytes:
    match = _DIGEST.fullmatch(entry.value) if isinstance(entry.value, str) else None
    if match is None:  # the message does not have the value, which could be a key
        kind = f"{len(entry.value)} characters" if isinstance(entry.value, str) else type(entry.value).__name__
        raise SettingsError(f"{entry.place} is of {kind}: expected {FIELDS['digest'].expected}")
    return bytes.fromhex(match[1])


def _time(entry: Entry) -> int | None:
    try:
        return parse_rfc3339(entry.value) // 1000 if isinstance(entry.value, str) else None
    except (ValueError, OverflowError):
        return None


def _role(entry: Entry) -> str | None:
    return entry.value if entry.value in ROLES else None


def _models(entry: Entry) -> tuple[str, ...] | None:
    names = entry.value
    if not isinstance(names, list) or not 1 <= len(names) <= _MAX_MODELS:
        return None
    if not all(isinstance(name, str) and _MODEL.fullmatch(name) for name in names):
        return None
    return tuple(dict.fromkeys(names))


def _limits(entry: Entry) -> dict[str, float] | None:
    if not isinstance(entry.value, dict):
        return None
    limits = {}
    for name, value in entry.value.items():
        limit = Entry(f"{entry.place}.{name[:80]}", value)
        if name not in NAMES:
            raise SettingsError(f"{limit.place} is no limit: expected one of {', '.join(NAMES)}")
        try:
            limits[name] = parse_limit(name, json.dumps(value))
        except ValueError as error:
            raise limit.wrong(str(error)) from None
    return limits


def _note(entry: Entry) -> str | None:
    return entry.value if isinstance(entry.value, str) and len(entry.value) <= _MAX_NOTE else None


FIELDS = {
    "id": Field("1 to 64 letters, digits and . _ -", _text(_ID)),
    "tenant": Field("1 to 128 letters, digits and . _ @ / + -", _text(_TENANT)),
    "digest": Field("sha256: and the 64 hexadecimal digits of the SHA-256 of the key", _digest),
    "created_at": Field("a time such as 2026-01-31T12:00:00Z", _time),
    "expires_at": Field("a time such as 2026-01-31T12:00:00Z, or none", _time),
    "role": Field(f"one of {', '.join(ROLES)}", _role),
    "models": Field("a list of names of models, not empty; or none, for all models", _models),
    "limits": Field("an object with numbers, by the names of UNROLL_TENANT_LIMITS", _limits),
    "note": Field(f"a text of up to {_MAX_NOTE} characters", _note),
}
REQUIRED = ("id", "tenant", "digest", "created_at")
