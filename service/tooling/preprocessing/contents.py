"""Vocabularies, scalers and labels among the values of a file, with their places."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from service.domain.errors import ModelFolderError
from service.tooling.formats.values.state_dicts import entries_of, shown
from service.tooling.pickles.values import Instance
from service.tooling.preprocessing.scalers import scaler_of
from service.tooling.preprocessing.scaling import Labels, Scaler
from service.tooling.preprocessing.vocabularies.keras_layers import UnfilledLayer, unfilled_layer
from service.tooling.preprocessing.vocabularies.values import object_roles, words_of
from service.tooling.preprocessing.vocabularies.words import Words

#: Values that are looked at, and their levels.
MAX_VALUES = 10_000
MAX_LEVELS = 12


@dataclass(frozen=True, slots=True)
class CompleteFile:
    """A file that a model folder has as it is: `option` is that of `pack` for it."""

    option: str
    path: Path


Item: TypeAlias = Words | UnfilledLayer | Scaler | Labels | CompleteFile
#: The path of a value, the value, and the special tokens that are named around it.
_Waiting: TypeAlias = tuple[tuple[str, ...], object, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Found:
    """A vocabulary, scaler or list of labels, and its place in the file, such as `hyper_parameters.vocab`."""

    place: str
    item: Item


def item_of(value: object, origin: str) -> Words | UnfilledLayer | Scaler | Labels | None:
    """Return the vocabulary, scaler or labels that a value is. Raises ModelFolderError for a scaler of no use."""
    return words_of(value, origin) or unfilled_layer(value, origin) or scaler_of(value, origin)


def find_contents(value: object, origin: str, *, lenient: bool = False) -> Iterator[Found]:
    """Yield what is found in a value. The dictionary and the list of one vocabulary are yielded once.

    Raises ModelFolderError for a scaler that is not read; if `lenient`, it is left out.
    """
    waiting: list[_Waiting] = [((), value, {})]
    seen: set[tuple[tuple[int, str], ...]] = set()
    for _ in range(MAX_VALUES):
        if not waiting:
            return
        path, inner, roles = waiting.pop(0)
        place = ".".join(path)
        try:
            item = item_of(inner, f"{origin}: {place}" if path else origin)
        except ModelFolderError:
            if not lenient:
                raise
            continue
        if isinstance(item, Words):
            key = tuple(sorted(item.entries.items()))
            if key not in seen:
                seen.add(key)
                yield Found(place, replace(item, roles={**item.roles, **_known(roles, item)}))
        elif item is not None:
            yield Found(place, item)
        elif len(path) < MAX_LEVELS:
            waiting += _parts(path, inner, roles)


def _parts(path: tuple[str, ...], value: object, roles: dict[str, str]) -> list[_Waiting]:
    """Return what a value holds, with the special tokens that are named around it."""
    around = roles | object_roles(value)
    return [((*path, shown(name)), part, around) for name, part in entries_of(value).items() if _holds(part)]


def _holds(value: object) -> bool:
    return isinstance(value, dict | list | tuple | Instance)


def _known(roles: dict[str, str], words: Words) -> dict[str, str]:
    return {role: token for role, token in roles.items() if token in words.entries.values()}
