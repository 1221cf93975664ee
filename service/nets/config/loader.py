"""Strict reading of config.json. Error messages name the file, the field, its value and what was expected.

Each value is checked on its own, then the values against each other, and `state` against the sizes. No weight is read
before.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.bounded_json import parse_json
from service.nets.config.sections import Violation

#: Enough for a forecaster of thousands of features.
MAX_CONFIG_BYTES = 2**20
#: Violations, and characters of a value, that an error message shows.
MAX_VIOLATIONS = 20
MAX_SHOWN = 200

ConfigT = TypeVar("ConfigT", bound=ArchitectureConfig)


def read_config_bytes(folder: Path) -> bytes:
    """Return the bytes of `folder`/config.json. Raises ModelFolderError."""
    return read_file(folder / "config.json", MAX_CONFIG_BYTES, "the network's config")


def read_json(content: bytes, place: str) -> dict[str, Any]:
    """Parse a JSON object, unchecked. Raises ModelFolderError."""
    try:
        raw = parse_json(content)
    except ValueError as error:
        raise ModelFolderError(f"{place}: found no readable JSON ({error}), expected one object") from error
    if not isinstance(raw, dict):
        raise ModelFolderError(f"{place}: found {quote(raw)}, expected a JSON object")
    return raw


def build_config(config_class: type[ConfigT], raw: dict[str, Any], place: str) -> ConfigT:
    """Return the configuration with the values of a config.json; `place` names it in messages.

    Raises ModelFolderError.
    """
    config = _validated(config_class, raw, place)
    if violation := config.state_violation():
        raise config_error(place, [violation])
    return config


def with_state(config_class: type[ArchitectureConfig], raw: dict[str, Any], place: str) -> dict[str, Any]:
    """Return `raw` with the `state` that follows from its other fields. Raises ModelFolderError."""
    config = _validated(config_class, {key: value for key, value in raw.items() if key != "state"}, place)
    return {**raw, "state": [spec.to_dict() for spec in config.session_state()]}


def config_error(place: str, violations: list[Violation]) -> ModelFolderError:
    """Return the error of a config.json with these violations; of many, the message has the first ones."""
    parts = [
        f"{field[:MAX_SHOWN]}: found {shorten(str(value))}, expected {expected}"
        for field, value, expected in violations[:MAX_VIOLATIONS]
    ]
    if further := len(violations) - len(parts):
        parts.append(f"and {further} more")
    return ModelFolderError(f"{place}: {'; '.join(parts)}")


def quote(value: object) -> str:
    """Return a value of a config.json as error messages show it."""
    return "nothing" if value == "nothing" else shorten(json.dumps(value, default=repr))


def shorten(text: str) -> str:
    """Return the beginning of a text that error messages show."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _validated(config_class: type[ConfigT], raw: dict[str, Any], place: str) -> ConfigT:
    """Return the configuration, everything but its state checked."""
    try:
        config = config_class.model_validate(raw)
    except ValidationError as error:
        raise config_error(place, [_violation(detail, config_class) for detail in error.errors()]) from error
    if violations := list(config.violations()):
        raise config_error(place, violations)
    return config


def _printable(name: str | int) -> str:
    """Return a name of a field, which can hold line ends, as error messages show it."""
    return str(name) if str(name).isprintable() else json.dumps(name)[1:-1]


def _violation(detail: Any, schema: type[BaseModel]) -> Violation:  # noqa: ANN401 pydantic_core's own type is no public name
    field = ".".join(map(_printable, detail["loc"]))
    kind, value = detail["type"], quote(detail["input"])
    if kind == "missing":
        return field, "nothing", "this field"
    if kind == "extra_forbidden":
        known = sorted(schema.model_fields) if len(detail["loc"]) == 1 else []
        return field, value, "no such field" + (f"; the known ones are {', '.join(known)}" if known else " here")
    if kind == "value_error":
        return field, value, str(detail["ctx"]["error"])
    return field, value, detail["msg"].removeprefix("Input should be ").removeprefix("Input should ")
