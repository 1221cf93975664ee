"""The commands that make, list and revoke API keys."""

import json
import re
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from service import settings as configuration
from service.cli.keys_file import changing
from service.cli.options import AsJson
from service.cli.output import failing_with_one_line, print_text
from service.domain.access.api_keys import (
    KEYS_SETTING,
    ApiKey,
    digest_of,
    format_keys,
    new_id,
    new_key,
    parse_keys,
    read_keys,
)
from service.domain.errors import SettingsError
from service.domain.limits import NAMES, parse_limit
from service.domain.rfc3339 import format_rfc3339, parse_rfc3339

app = typer.Typer(name="keys", help="Make, list and revoke API keys of a file.", no_args_is_help=True)

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
COLUMNS = ("id", "tenant", "role", "models", "limits", "created", "expires", "note")


class RoleChoice(StrEnum):
    """Roles of keys."""

    client = "client"
    admin = "admin"


KeysFile = Annotated[Path | None, typer.Option("--file", help=f"The file; default: {KEYS_SETTING}.")]


@app.command()
def create(
    *,
    tenant: Annotated[str, typer.Option(help="Whose key it is.")],
    file: KeysFile = None,
    role: Annotated[
        RoleChoice, typer.Option(help="`admin` for sessions and usage of all tenants.")
    ] = RoleChoice.client,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="A model that it may use; repeatable; default: all.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When it expires: 90d, 12h, or 2027-01-31T12:00:00Z.")] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limit", help=f"NAME=VALUE, a limit of the tenant; repeatable; NAME of {', '.join(NAMES)}."),
    ] = None,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key, print it this one time, and add its digest to the file, which is made if there is none."""
    now = int(time.time() * 1000)
    secret = new_key()
    wanted = ApiKey(
        id=new_id(),
        tenant=tenant,
        digest=digest_of(secret.encode()),
        created_at=now // 1000 * 1000,
        expires_at=None if expires is None else _expiry(expires, now),
        role=role.value,
        models=tuple(dict.fromkeys(models)) if models else None,
        limits=_limits(limits or []),
        note=note,
    )
    with failing_with_one_line():
        path = _path(file)
        with changing(path) as keys:
            parse_keys(format_keys([wanted]))  # names what is wrong with it alone
            keys.append(wanted)
    if as_json:
        print_text(json.dumps({"key": secret, **_view(wanted)}, ensure_ascii=False))
        return
    print_text(secret)
    print_text(f"{wanted.id} of {tenant} is in {path}. The key above is not stored: keep it now.", err=True)


@app.command("list")
def list_(file: KeysFile = None, as_json: AsJson = False) -> None:
    """List the keys of the file, by their ids."""
    with failing_with_one_line():
        views = [_view(key) for key in read_keys(_path(file))]
    if as_json:
        print_text(json.dumps(views, ensure_ascii=False))
        return
    rows = [COLUMNS, *(tuple(map(_cell, view.values())) for view in views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print_text("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def revoke(
    ids: Annotated[list[str], typer.Argument(help="The ids of the keys, as `list` prints them.")], file: KeysFile = None
) -> None:
    """Remove keys from the file. Running workers refuse them within seconds."""
    with failing_with_one_line():
        path = _path(file)
        with changing(path) as keys:
            for name in ids:
                found = next((key for key in keys if key.id == name), None)
                if found is None:
                    raise SettingsError(f"ID is {name!r}: expected the id of a key in {path}, as `list` prints it")
                keys.remove(found)
    for name in ids:
        print_text(f"{name} is revoked.", err=True)


def _path(file: Path | None) -> Path:
    """Return the file of keys. Raises SettingsError if neither the option nor the setting names one."""
    path = file or configuration.load().api_keys_file
    if path is None:
        raise SettingsError(f"there is no file of keys: expected --file, or {KEYS_SETTING}")
    return path


def _expiry(text: str, now: int) -> int:
    """Parse a time, or how far it is from now, to milliseconds since 1970."""
    if (match := re.fullmatch(r"([0-9]{1,6})([smhdw])", text)) is not None:
        return (now // 1000 + int(match[1]) * SECONDS[match[2]]) * 1000
    try:
        time_ms = parse_rfc3339(text) // 1000
    except (ValueError, OverflowError):
        time_ms = -1
    if time_ms <= now:
        raise typer.BadParameter(f"--expires {text}: expected a time to come, such as 90d, 12h or 2027-01-31T12:00:00Z")
    return time_ms


def _limits(arguments: list[str]) -> dict[str, float]:
    """Parse NAME=VALUE of each limit."""
    limits = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in NAMES or name in limits:
            raise typer.BadParameter(f"--limit {argument}: expected NAME=VALUE, each NAME once, of {', '.join(NAMES)}")
        try:
            limits[name] = parse_limit(name, value)
        except ValueError as error:
            raise typer.BadParameter(f"--limit {argument}: expected {error}") from None
    return limits


def _view(key: ApiKey) -> dict[str, Any]:
    """Return what may be shown of a key."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "role": key.role,
        "models": None if key.models is None else [*key.models],
        "limits": key.limits,
        "created_at": _time(key.created_at),
        "expires_at": None if key.expires_at is None else _time(key.expires_at),
        "note": key.note,
    }


def _time(milliseconds: int) -> str:
    return format_rfc3339(milliseconds * 1000)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        value = [f"{name}={number}" for name, number in value.items()]
    return ",".join(value) if isinstance(value, list) else str(value or "-")
