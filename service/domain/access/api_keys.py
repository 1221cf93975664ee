"""API keys as a file holds them: what each allows, and its digest. The keys themselves are not there."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from service.domain.access.key_fields import FIELDS, REQUIRED, Entry
from service.domain.errors import ModelFolderError, ReloadedFileError, SettingsError
from service.domain.files import read_file
from service.domain.rfc3339 import format_rfc3339

#: The setting that names the file.
KEYS_SETTING = "UNROLL_API_KEYS_FILE"
MAX_FILE_BYTES = 64 * 2**20

Role: TypeAlias = Literal["client", "admin"]


class KeysFileError(ReloadedFileError):
    """The file of API keys cannot be used."""

    subject = "API keys"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. Times are milliseconds since 1970.

    `models` are those that the key may use, all if that is None. `limits` are limits of its tenant.
    """

    id: str
    tenant: str
    digest: bytes
    created_at: int
    expires_at: int | None = None
    role: Role = "client"
    models: tuple[str, ...] | None = None
    limits: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether the key is one of an administrator."""
        return self.role == "admin"

    def is_valid(self, now: int) -> bool:
        """Return whether the key has not expired."""
        return self.expires_at is None or now < self.expires_at


def new_key() -> str:
    """Return a new key: 256 random bits."""
    return f"unroll_{secrets.token_urlsafe(32)}"


def new_id() -> str:
    """Return the id of a new key."""
    return f"key_{secrets.token_hex(6)}"


def digest_of(key: bytes) -> bytes:
    """Return the digest of a key. Keys are random, so a slow hash, as for passwords, would protect nothing more."""
    return hashlib.sha256(key).digest()


def limits_of_tenants(keys: Iterable[ApiKey]) -> dict[str, dict[str, float]]:
    """Return the limits that keys state, by tenant."""
    limits: dict[str, dict[str, float]] = {}
    for key in keys:
        if key.limits:
            limits.setdefault(key.tenant, {}).update(key.limits)
    return limits


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file. Raises KeysFileError, which names the entry, the field, its value and the expected."""
    try:
        content = read_file(path, MAX_FILE_BYTES, "a file of API keys, such as `unroll keys create` writes")
    except ModelFolderError as error:
        raise KeysFileError(f"{KEYS_SETTING} is wrong, {error}") from None
    try:
        return parse_keys(content)
    except SettingsError as error:
        raise KeysFileError(f"{KEYS_SETTING} is wrong, {path}: {error}") from None


def parse_keys(content: bytes) -> tuple[ApiKey, ...]:
    """Return the keys that the JSON of a file has. Raises SettingsError."""
    try:
        document = json.loads(content, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f'is no JSON ({error}): expected {{"keys": [...]}}') from None
    if not isinstance(document, dict) or document.keys() != {"keys"} or not isinstance(document["keys"], list):
        found = sorted(document) if isinstance(document, dict) else type(document).__name__
        raise SettingsError(f"has {str(found)[:100]}: expected one field, keys, with a list")
    keys = tuple(_parse_key(f"keys[{index}]", entry) for index, entry in enumerate(document["keys"]))
    _check_together(keys)
    return keys


def format_keys(keys: Sequence[ApiKey]) -> bytes:
    """Return the JSON from which `parse_keys` makes these keys, one entry a line."""
    entries = ",\n".join(f"  {json.dumps(_entry(key), ensure_ascii=False)}" for key in keys)
    return f'{{"keys": [\n{entries}\n]}}\n'.encode() if keys else b'{"keys": []}\n'


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of an object. Raises ValueError if one is there twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)[:80]} is there twice")
    return fields


def _parse_key(place: str, entry: object) -> ApiKey:
    if not isinstance(entry, dict):
        raise SettingsError(f"{place} is {json.dumps(entry)[:100]}: expected an object with id, tenant and digest")
    for name in entry:
        if name not in FIELDS:
            raise SettingsError(f"{place}.{name[:80]} is no field: expected one of {', '.join(FIELDS)}")
    for name in REQUIRED:
        if entry.get(name) is None:
            raise SettingsError(f"{place}.{name} is missing: expected {FIELDS[name].expected}")
    values: dict[str, Any] = {
        name: FIELDS[name].parse(Entry(f"{place}.{name}", value)) for name, value in entry.items() if value is not None
    }
    key = ApiKey(**values)
    if key.is_admin and key.models is not None:
        raise SettingsError(f"{place}.models is {list(key.models)}: expected none of an admin, who sees all models")
    return key


def _check_together(keys: Sequence[ApiKey]) -> None:
    """Raise SettingsError for what one entry must not have as another one has it."""
    ids: dict[str, int] = {}
    digests: dict[bytes, int] = {}
    limits: dict[tuple[str, str], tuple[float, int]] = {}
    for index, key in enumerate(keys):
        if (first := ids.setdefault(key.id, index)) != index:
            raise SettingsError(f"keys[{index}].id is {key.id!r}: expected another one than that of keys[{first}]")
        if (first := digests.setdefault(key.digest, index)) != index:
            raise SettingsError(f"keys[{index}].digest is that of keys[{first}]: expected a key of its own")
        for name, value in key.limits.items():
            stated, first = limits.setdefault((key.tenant, name), (value, index))
            if stated != value:
                raise SettingsError(
                    f"keys[{index}].limits.{name} is {value}: expected {stated} as in keys[{first}], since limits are "
                    f"those of the tenant {key.tenant}"
                )


def _entry(key: ApiKey) -> dict[str, Any]:
    """Return the entry of a key, without the fields that have their defaults."""
    entry = {
        "id": key.id,
        "tenant": key.tenant,
        "digest": f"sha256:{key.digest.hex()}",
        "created_at": format_rfc3339(key.created_at * 1000),
        "expires_at": None if key.expires_at is None else format_rfc3339(key.expires_at * 1000),
        "role": key.role,
        "models": None if key.models is None else [*key.models],
        "limits": key.limits or None,
        "note": key.note or None,
    }
    return {name: value for name, value in entry.items() if value is not None}
