"""The model card: its text, and of its front matter description, metrics, and the languages of a translation model."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.domain.models import LanguagePair
from service.domain.operations import Json
from service.model_folder.bounded_yaml import BROKEN, parse_yaml
from service.nets.config.bounded_json import parse_json

MAX_CARD_BYTES = 2**22
MAX_FRONT_MATTER = 2**16
#: Characters of a value that an error message shows.
MAX_SHOWN = 200
#: A language tag of RFC 5646, such as `en` or `pt-BR`.
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
LANGUAGE_FIELDS = ("source_language", "target_language")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the service shows of a model card. `languages` are those that a translation model translates.

    `text` is the whole file, None without one.
    """

    description: str = ""
    metrics: dict[str, Json] = field(default_factory=dict)
    languages: LanguagePair | None = None
    text: str | None = None


def read_card(folder: Path) -> ModelCard:
    """Return the model card in README.md, empty without front matter. Raises ModelFolderError."""
    path = folder / "README.md"
    if not path.exists():
        return ModelCard()
    try:
        text = read_file(path, MAX_CARD_BYTES, "a model card in UTF-8").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path}: cannot be read: {error}; expected a model card in UTF-8") from error
    lines = text.splitlines()
    if not lines or lines[0].rstrip() != "---":
        return ModelCard(text=text)
    front = _front_matter(path, [line.rstrip(" \t") for line in lines])
    description, metrics = front.get("description", ""), front.get("metrics", {})
    if not isinstance(description, str):
        raise ModelFolderError(f"{path}: front matter description: found {_shown(description)}, expected a text")
    if not isinstance(metrics, dict):
        raise ModelFolderError(f"{path}: front matter metrics: found {_shown(metrics)}, expected names with values")
    return ModelCard(
        _encodable(path, "description", description.strip()), _as_json(path, metrics), _languages(path, front), text
    )


def _languages(path: Path, front: dict[str, object]) -> LanguagePair | None:
    if not any(name in front for name in LANGUAGE_FIELDS):
        return None
    for name in LANGUAGE_FIELDS:
        tag = front.get(name)
        if not isinstance(tag, str) or not LANGUAGE_TAG.fullmatch(tag):
            found = "nothing" if tag is None else _shown(tag)
            raise ModelFolderError(f"{path}: front matter {name}: found {found}, expected a language tag such as en")
    source, target = (str(front[name]) for name in LANGUAGE_FIELDS)
    return LanguagePair(source, target)


def _front_matter(path: Path, lines: list[str]) -> dict[str, object]:
    if "---" not in lines[1:]:
        raise ModelFolderError(f"{path}: front matter: found no closing line ---, expected one")
    text = "\n".join(lines[1 : lines.index("---", 1)])
    if len(text) > MAX_FRONT_MATTER:
        raise ModelFolderError(
            f"{path}: front matter: found {len(text)} characters, expected at most {MAX_FRONT_MATTER}"
        )
    try:
        front = parse_yaml(text)
    except BROKEN as error:
        reason = " ".join(str(error).split())[:MAX_SHOWN]
        raise ModelFolderError(f"{path}: front matter: found broken YAML ({reason}), expected key: value") from error
    if front is not None and not isinstance(front, dict):
        raise ModelFolderError(f"{path}: front matter: found {_shown(front)}, expected key: value")
    return front or {}


def _as_json(path: Path, metrics: dict[str, object]) -> dict[str, Json]:
    try:
        text = json.dumps(metrics, allow_nan=False, ensure_ascii=False)
        values: dict[str, Json] = parse_json(_encodable(path, "metrics", text).encode())
    except (TypeError, ValueError) as error:
        raise ModelFolderError(
            f"{path}: front matter metrics: found {_shown(metrics)} ({error}), expected numbers, texts, lists and "
            "mappings"
        ) from error
    return values


def _encodable(path: Path, field: str, text: str) -> str:
    """Return a text that answers can hold. Raises ModelFolderError for half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ModelFolderError(
            f"{path}: front matter {field}: found half of a surrogate pair, expected whole characters"
        ) from error
    return text


def _shown(value: Any) -> str:  # noqa: ANN401 - any YAML value
    """Return the beginning of a value as error messages show it."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
