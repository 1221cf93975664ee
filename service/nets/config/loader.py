"""config.json: what a network is, read strictly. Every mistake is refused with the file, the field, found and expected.

The values are checked one by one, then against each other, and `state` against what follows from the sizes, all before
a weight is read.
"""

import json
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from service.domain.errors import ModelFolderError
from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.config.sections import Violation

Config: TypeAlias = LanguageModelConfig | EncoderDecoderConfig | ForecasterConfig
#: The schema of each served task.
TASKS: dict[str, type[Config]] = {
    "next-word": LanguageModelConfig,
    "translation": EncoderDecoderConfig,
    "forecasting": ForecasterConfig,
}


def read_config_bytes(folder: Path) -> bytes:
    """Return the bytes of `folder`/config.json. Raises ModelFolderError."""
    path = folder / "config.json"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read: {error.strerror}; expected the network's config") from error


def parse_config(content: bytes, place: str) -> Config:
    """Parse the bytes of a config.json; `place` names it in messages. Raises ModelFolderError."""
    return build_config(read_json(content, place), place)


def read_json(content: bytes, place: str) -> dict[str, Any]:
    """Parse a JSON object, unchecked. Raises ModelFolderError."""
    try:
        raw = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{place}: found no readable JSON ({error}), expected one object") from error
    if not isinstance(raw, dict):
        raise ModelFolderError(f"{place}: found {_shown(raw)}, expected a JSON object")
    return raw


def build_config(raw: dict[str, Any], place: str) -> Config:
    """Turn the values of a config.json into a checked configuration. Raises ModelFolderError."""
    config = _checked(raw, place)
    expected = [spec.to_dict() for spec in config.session_state()]
    if config.state is None:
        raise ModelFolderError(_message(place, [("state", "nothing", json.dumps(expected))]))
    found = [entry.model_dump() for entry in config.state]
    if found != expected:
        raise ModelFolderError(_message(place, [("state", json.dumps(found), json.dumps(expected))]))
    return config


def with_state(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """Return `raw` with the `state` that follows from its other fields, for whoever writes a config.json."""
    config = _checked({key: value for key, value in raw.items() if key != "state"}, place)
    return {**raw, "state": [spec.to_dict() for spec in config.session_state()]}


def _checked(raw: dict[str, Any], place: str) -> Config:
    """Check everything but the state."""
    task = raw.get("task", "nothing")
    schema = TASKS.get(task) if isinstance(task, str) else None
    if schema is None:
        known = ", ".join(map(repr, TASKS))
        raise ModelFolderError(_message(place, [("task", _shown(task), f"one of {known}; others are not served yet")]))
    try:
        config = schema.model_validate(raw)
    except ValidationError as error:
        raise ModelFolderError(_message(place, [_violation(detail, schema) for detail in error.errors()])) from error
    if violations := list(config.violations()):
        raise ModelFolderError(_message(place, violations))
    return config


def _violation(detail: Any, schema: type[BaseModel]) -> Violation:  # noqa: ANN401 pydantic_core's own type is no public name
    field = ".".join(map(str, detail["loc"]))
    kind, found = detail["type"], _shown(detail["input"])
    if kind == "missing":
        return field, "nothing", "this field"
    if kind == "extra_forbidden":
        known = sorted(schema.model_fields) if len(detail["loc"]) == 1 else []
        return field, found, "no such field" + (f"; the known ones are {', '.join(known)}" if known else " here")
    if kind == "value_error":
        return field, found, str(detail["ctx"]["error"])
    return field, found, detail["msg"].removeprefix("Input should be ").removeprefix("Input should ")


def _message(place: str, violations: list[Violation]) -> str:
    return f"{place}: " + "; ".join(f"{field}: found {found}, expected {wanted}" for field, found, wanted in violations)


def _shown(value: object) -> str:
    text = value if value == "nothing" else json.dumps(value, default=repr)
    return str(text) if len(str(text)) <= 200 else f"{str(text)[:200]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing a key that stands twice: which of the two counts would be a guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found
