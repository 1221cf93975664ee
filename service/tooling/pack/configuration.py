"""The configuration that `pack` writes: proposed by `inspect` or read from a file, with the user's settings."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.nets.config.loader import MAX_CONFIG_BYTES, read_json
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.formats.network import SavedNetwork
from service.tooling.inspect.report import inspect_network


def resolve_config(
    source: Path,
    saved: SavedNetwork,
    config: Path | None,
    settings: Mapping[str, object],
    architectures: Sequence[AnyArchitecture],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of config.json, and the names that `inspect` proposes for the tensors.

    The fields are those of the file `config`, or those that `inspect` proposes for `saved`, the tensors of the file
    `source`. `settings` override single fields; a dotted name is a field inside an object, such as `decoder.cell`.
    Raises ModelFolderError.
    """
    fields = None if config is None else with_settings(read_fields(config), settings, str(config))
    task = stated_task(settings if fields is None else fields, architectures)
    report = inspect_network(source, saved, architectures, task)
    proposal = report.proposal
    if fields is not None:
        known = proposal is not None and proposal.config["architecture"] == fields.get("architecture")
        return fields, proposal.names if proposal is not None and known else {}
    if proposal is None:
        raise ModelFolderError(f"{source}: found {report.looks_like}; expected a config.json beside the checkpoint")
    _require_stated(source, proposal.guessed, settings)
    return with_settings(proposal.config, settings, str(source)), proposal.names


def _require_stated(source: Path, guessed: Sequence[str], settings: Mapping[str, object]) -> None:
    """Raise ModelFolderError for the first guessed field that the user does not state."""
    if missing := [field for field in guessed if not _states(settings, field)]:
        others = f" (and {', '.join(missing[1:])})" if missing[1:] else ""
        raise ModelFolderError(
            f"{source}: {missing[0]}: found weights that fit more than one, expected it{others} to be stated: as a "
            f"setting (--set {missing[0]}=...) or in a config.json"
        )


def stated_task(fields: Mapping[str, object], architectures: Sequence[AnyArchitecture]) -> str | None:
    """Return the task that is stated, None if there is none or no architecture has it."""
    task = fields.get("task")
    return task if isinstance(task, str) and any(task in spec.tasks for spec in architectures) else None


def with_settings(fields: Mapping[str, Any], settings: Mapping[str, object], place: str) -> dict[str, Any]:
    """Return `fields` with each setting applied. Raises ModelFolderError for a dotted one without its object."""
    changed = copy.deepcopy(dict(fields))
    for name, value in settings.items():
        *outer, field = name.split(".")
        inside = changed
        for step in outer:
            inside = inside.get(step)  # type: ignore[assignment]  # checked at once
            if not isinstance(inside, dict):
                raise ModelFolderError(f"{place}: setting {name}: found no object {step}, expected one to set it in")
        inside[field] = value
    return changed


def _states(settings: Mapping[str, object], field: str) -> bool:
    """Return whether a field or the object that contains it is set."""
    return field in settings or field.partition(".")[0] in settings


def read_fields(path: Path) -> dict[str, Any]:
    """Return the fields of a config.json. Raises ModelFolderError."""
    return read_json(read_file(path, MAX_CONFIG_BYTES, "a config.json"), str(path))
