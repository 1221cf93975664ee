"""Settings of single fields of a config.json, by dotted names; numbers are places in lists."""

import copy
from collections.abc import Mapping
from typing import Any

from service.domain.errors import ModelFolderError
from service.tooling.inspect.questions.forward_pass import HEAD_INPUT, INPUT_ACTIVATION


def with_settings(fields: Mapping[str, Any], settings: Mapping[str, object], place: str) -> dict[str, Any]:
    """Return `fields` with each setting applied. Raises ModelFolderError for a dotted one without its object."""
    changed = copy.deepcopy(dict(fields))
    projected = settings.get("input_projection", fields.get("input_projection"))
    later = {HEAD_INPUT, INPUT_ACTIVATION} if projected else {HEAD_INPUT}
    for name, value in settings.items():
        if name not in later:
            _set(changed, name, value, place)
    # At last, since it moves the entries that other settings name by their places.
    if settings.get(HEAD_INPUT, "none") != "none":
        changed["head"] = [{"activation": settings[HEAD_INPUT]}, *changed.get("head", [])]
    if projected and settings.get(INPUT_ACTIVATION, "none") != "none":
        layer = {"size": changed["input_size"], "activation": settings[INPUT_ACTIVATION]}
        changed |= {"input_projection": False, "input_layers": [layer]}
    return changed


def renumber(names: Mapping[str, str], proposed: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Return the proposed names of tensors, with the places that the layers of the proposal have in `config`."""
    if proposed.get("input_projection") and config.get("input_layers"):
        names = {name: _renamed_input(new) for name, new in names.items()}
    places, moved = _layers(proposed), _layers(config)
    if len(places) != len(moved):
        return dict(names)
    prefixes = {f"head.{old}.": f"head.{new}." for old, new in zip(places, moved, strict=True)}
    return {name: _renamed(new, prefixes) for name, new in names.items()}


def _set(fields: dict[str, Any], name: str, value: object, place: str) -> None:
    *outer, field = name.split(".")
    inside: Any = fields
    for step in outer:
        if isinstance(inside, list) and step == str(len(inside)):
            inside.append({})
        if _is_place(inside, step):
            inside = inside[int(step)]
        else:
            inside = inside.get(step) if isinstance(inside, dict) else None
        if not isinstance(inside, dict | list):
            raise ModelFolderError(f"{place}: setting {name}: found no object {step}, expected one to set it in")
    if isinstance(inside, dict):
        inside[field] = value
    elif _is_place(inside, field):
        inside[int(field)] = value
    else:
        raise ModelFolderError(
            f"{place}: setting {name}: found no entry {field}, expected one of {len(inside)}, from 0"
        )


def _is_place(inside: object, step: str) -> bool:
    return isinstance(inside, list) and step.isdecimal() and int(step) < len(inside)


def _layers(config: Mapping[str, Any]) -> list[int]:
    """Return the places of the entries of a head that have tensors."""
    head = config.get("head", [])
    if not isinstance(head, list):
        return []
    return [
        index
        for index, entry in enumerate(head)
        if isinstance(entry, dict) and {"size", "layer_norm", "batch_norm"} & entry.keys()
    ]


def _renamed_input(name: str) -> str:
    """Return the name of a tensor where the layer in front of the recurrent ones is an entry of `input_layers`."""
    return name.replace("input_projection.", "rnn.before_l0.0.", 1) if name.startswith("input_projection.") else name


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    prefix = ".".join(name.split(".")[:2]) + "."
    return prefixes[prefix] + name.removeprefix(prefix) if prefix in prefixes else name
