"""Front matter of the model card: the description and metrics that the model list shows."""

import json
from pathlib import Path

import yaml

from service.domain.errors import ModelFolderError
from service.domain.operations import Json


def read_card(folder: Path) -> tuple[str, dict[str, Json]]:
    """Return `description` and `metrics` of README.md, empty without front matter. Raises ModelFolderError."""
    path = folder / "README.md"
    if not path.exists():
        return "", {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"{path}: cannot be read: {error}; expected a model card in UTF-8") from error
    if not lines or lines[0].rstrip() != "---":
        return "", {}
    front = _front_matter(path, [line.rstrip() for line in lines])
    description, metrics = front.get("description", ""), front.get("metrics", {})
    if not isinstance(description, str):
        raise ModelFolderError(f"{path}: front matter description: found {description!r}, expected a text")
    if not isinstance(metrics, dict):
        raise ModelFolderError(f"{path}: front matter metrics: found {metrics!r}, expected names with values")
    return description.strip(), _as_json(path, metrics)


def _front_matter(path: Path, lines: list[str]) -> dict[str, object]:
    if "---" not in lines[1:]:
        raise ModelFolderError(f"{path}: front matter: found no closing line ---, expected one")
    try:
        front = yaml.safe_load("\n".join(lines[1 : lines.index("---", 1)]))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ModelFolderError(f"{path}: front matter: found broken YAML ({reason}), expected key: value") from error
    if front is not None and not isinstance(front, dict):
        raise ModelFolderError(f"{path}: front matter: found {front!r}, expected key: value")
    return front or {}


def _as_json(path: Path, metrics: dict[str, object]) -> dict[str, Json]:
    try:
        values: dict[str, Json] = json.loads(json.dumps(metrics, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ModelFolderError(
            f"{path}: front matter metrics: found {metrics!r} ({error}), expected numbers, texts, lists and mappings"
        ) from error
    return values
