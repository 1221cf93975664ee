"""What the files of preprocessing state for a network: fields of its config.json, and files of its folder."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.choice import LABELS, choose_words
from service.tooling.preprocessing.contents import CompleteFile, find_contents
from service.tooling.preprocessing.given import Candidate
from service.tooling.preprocessing.scaling import Labels, Scaler
from service.tooling.preprocessing.vocabularies.fitting import fit_words
from service.tooling.preprocessing.vocabularies.keras_layers import UnfilledLayer
from service.tooling.preprocessing.vocabularies.words import Words

#: The sections of config.json that have a vocabulary of their own, by the side of a translation.
SIDES = {"source": "encoder", "target": "decoder"}


@dataclass(frozen=True, slots=True)
class Matched:
    """Fields of config.json that the files state, options of `pack`, and notes on where they come from."""

    settings: dict[str, object] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def contents_of(value: object, origin: str) -> list[Candidate]:
    """Return the vocabularies, scalers and labels beside the weights in a file that was read."""
    found = find_contents(value, origin, lenient=True)
    return [Candidate("", item, given=False) for item in found]


def match(
    candidates: Sequence[Candidate],
    config: Mapping[str, Any],
    settings: Mapping[str, object],
    roles: Collection[str],
    given: Collection[str] = (),
) -> Matched:
    """Match what was found with a proposed config.json and the fields that the user states.

    A vocabulary gives the special tokens of the `roles` that it can tell. `given` are the options of `pack` whose files
    the user states. Raises ModelFolderError.
    """
    matched = Matched()
    fields = {**config, **settings}
    _take_complete(candidates, matched)
    if "tokenizer" not in {*matched.options, *given}:
        _take_words([item for item in candidates if item.part != "labels"], fields, roles, matched)
    if "preprocessor" not in given:
        _take_scalers(candidates, fields, matched)
    _take_labels(candidates, fields, matched)
    return matched


def _take_complete(candidates: Sequence[Candidate], matched: Matched) -> None:
    """Take files that a model folder has as they are."""
    for candidate in candidates:
        item = candidate.found.item
        if isinstance(item, CompleteFile):
            if item.option in matched.options:
                raise ModelFolderError(
                    f"{item.path}: found another {item.option}, expected one; of two, give their folder"
                )
            matched.options[item.option] = item.path


def _take_words(
    candidates: Sequence[Candidate],
    fields: Mapping[str, Any],
    readable: Collection[str],
    matched: Matched,
) -> None:
    """Choose the vocabularies of a network over text.

    Its special tokens are `stated`, or those that are found for the roles `readable`.
    """
    rows = rows_of(fields)
    given = [item for item in candidates if item.given and isinstance(item.found.item, Words)]
    if not rows:
        return
    chosen, notes = choose_words(given or candidates, rows)
    matched.notes.extend(notes)
    if not chosen:
        return
    chosen = _cut_by_layer(chosen, candidates)
    stated = _stated_tokens(fields)
    roles = _fit_sides(chosen, rows, stated, matched.notes)
    matched.options["vocab"] = chosen
    known = {role: token for role, token in roles.items() if role in readable or role in (stated or {})}
    if known:
        matched.settings["special_tokens"] = known


def _cut_by_layer(chosen: dict[str, Words], candidates: Sequence[Candidate]) -> dict[str, Words]:
    """Return the vocabulary as that of the layer that cuts text in the file of the network, if it has none."""
    layers = [item.found.item for item in candidates if isinstance(item.found.item, UnfilledLayer)]
    if not layers or len(chosen) > 1:
        return chosen
    return {side: layers[0].filled(words) for side, words in chosen.items()}


def _stated_tokens(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    stated = fields.get("special_tokens")
    return stated if isinstance(stated, dict) else None


def _fit_sides(
    chosen: Mapping[str, Words], rows: Mapping[str, int], stated: Mapping[str, str] | None, notes: list[str]
) -> dict[str, str]:
    """Return the special tokens of all sides by role. Raises ModelFolderError if a vocabulary does not fit."""
    roles: dict[str, str] = {}
    for side, words in chosen.items():
        fitted = fit_words(words, rows[side], stated)
        notes += [f"{side or 'vocabulary'}: {words}", *fitted.notes]
        roles |= fitted.roles
    return roles


def rows_of(fields: Mapping[str, Any]) -> dict[str, int]:
    """Return the size of the vocabulary of each side of a network; of one without sides, that of ""."""
    sections = {side: fields.get(name) for side, name in SIDES.items()}
    if isinstance(fields.get("vocab_size"), int):
        return {"": fields["vocab_size"]}
    return {
        side: section["vocab_size"]
        for side, section in sections.items()
        if isinstance(section, dict) and isinstance(section.get("vocab_size"), int)
    }


def _take_scalers(candidates: Sequence[Candidate], fields: Mapping[str, Any], matched: Matched) -> None:
    """Take the scaling of the features, and that of the outputs, which only a regression has apart."""
    features = fields.get("features")
    for candidate in candidates:
        scaler = candidate.found.item
        if not isinstance(scaler, Scaler) or not isinstance(features, list):
            continue
        if _is_target(candidate):
            _take_target(scaler, fields, matched)
        elif "preprocessor" not in matched.options:
            if len(scaler.names) == len(features):
                matched.settings["features"] = [*scaler.names]
            if not candidate.given and len(scaler.mean) != len(features):
                matched.notes.append(f"{scaler.origin}: {scaler}, and the network reads {len(features)}: not used")
                continue
            matched.options["preprocessor"] = scaler
            matched.notes.extend([f"preprocessor: {scaler}", *scaler.notes])
        elif candidate.given:
            raise ModelFolderError(
                f"{scaler.origin}: found another scaler, expected one of the features; that of the outputs is "
                "stated as target=FILE"
            )


def _is_target(candidate: Candidate) -> bool:
    last = candidate.found.place.lower().rpartition(".")[2]
    return candidate.part == "target" or (
        not candidate.part and (last in {"y", "1"} or "target" in last or last.endswith("_y"))
    )


def _take_target(scaler: Scaler, fields: Mapping[str, Any], matched: Matched) -> None:
    names = fields.get("names")
    if not isinstance(names, list):
        raise ModelFolderError(
            f"{scaler.origin}: found {scaler} for the outputs, expected none: only a regression has one, and "
            "forecasts have the scaling of their features"
        )
    if len(scaler.names) == len(names):
        names = [*scaler.names]
        matched.settings["names"] = names
    mean, scale = scaler.of(names, "names")
    matched.settings.update(target_mean=mean, target_scale=scale)
    matched.notes.extend([f"outputs: {scaler}", *scaler.notes])


def _take_labels(candidates: Sequence[Candidate], fields: Mapping[str, Any], matched: Matched) -> None:
    """Take the names of classes in the order of the outputs."""
    proposed = fields.get("labels")
    for candidate in candidates:
        names = _labels(candidate)
        if not names or not isinstance(proposed, list):
            continue
        if len(names) == len(proposed):
            matched.settings["labels"] = names
            matched.notes.append(f"labels: {', '.join(names)[:200]}")
        elif candidate.given:
            raise ModelFolderError(
                f"labels: found {len(names)} ({', '.join(names)[:200]}), expected one for each of "
                f"the {len(proposed)} outputs"
            )


def _labels(candidate: Candidate) -> list[str]:
    item = candidate.found.item
    if isinstance(item, Labels):
        return [*item.names]
    is_labels = candidate.part == "labels" or (not candidate.given and LABELS.search(candidate.found.place))
    return [*item.entries.values()] if isinstance(item, Words) and is_labels else []
