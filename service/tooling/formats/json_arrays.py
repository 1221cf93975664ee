"""JSON files of names with nested lists of numbers."""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from service.nets.config.bounded_json import parse_json
from service.tooling.formats.format import Format
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.source import Source
from service.tooling.formats.values.arrays import Array
from service.tooling.formats.values.assembly import assemble
from service.tooling.formats.values.tensors import Storage
from service.tooling.pickles.values import Mentions, PickleError

EXPECTED = "names with nested lists of numbers"
MAX_BYTES = 2**27
MAX_NAMES = 10_000
MAX_LEVELS = 8


class JsonArrays(Format):
    """JSON objects whose values are nested lists of numbers, also in objects of objects."""

    def recognizes(self, source: Source) -> bool:
        return source.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"

    def read(self, source: Source) -> SavedNetwork:
        if source.size > MAX_BYTES:
            raise source.error(f"JSON of {source.size} bytes", f"at most {MAX_BYTES}")
        try:
            value = parse_json(source.rewound().read())
        except ValueError as error:
            raise source.error(f"no readable JSON ({str(error)[:100]})", EXPECTED) from error
        arrays = dict(_arrays(value))
        if not arrays:
            raise source.error(f"JSON without arrays of numbers{_known_kind(value)}", EXPECTED)
        return assemble(source, arrays, _no_storages, Mentions(), "JSON of nested lists")


def _known_kind(value: object) -> str:
    """Return what a JSON document without weights is, if it is known."""
    if isinstance(value, dict) and {"class_name", "config"} <= value.keys():
        return " (the layers of a Keras model, without its weights: give the .keras or .h5 file)"
    return ""


def _arrays(value: object) -> Iterator[tuple[str, Array]]:
    """Yield the arrays by their names, joined with dots where objects contain each other."""
    waiting: list[tuple[str, object]] = [("", value)]
    for _ in range(MAX_NAMES):
        if not waiting:
            return
        name, item = waiting.pop()
        if isinstance(item, dict):
            waiting += reversed([(f"{name}.{key}" if name else key, inner) for key, inner in item.items()])
        elif isinstance(item, list) and (array := _array(item)) is not None:
            yield name, array


def _array(nested: list[object]) -> Array | None:
    """Return the array of nested lists of equal lengths, or None for other lists."""
    shape, flat = [len(nested)], nested
    while flat and isinstance(flat[0], list) and len(shape) < MAX_LEVELS:
        shape.append(len(flat[0]))
        if (inner := _concatenate(flat)) is None:
            return None
        flat = inner
    if not flat or any(type(number) not in {int, float} for number in flat):
        return None
    return np.array(flat, np.float64).reshape(shape)


def _concatenate(items: list[object]) -> list[object] | None:
    """Return the elements of lists of equal lengths, or None for other values."""
    rows = [item for item in items if isinstance(item, list)]
    if len(rows) != len(items) or len({len(row) for row in rows}) != 1:
        return None
    return [*chain.from_iterable(rows)]


def _no_storages(key: str | bytes) -> Storage:
    raise PickleError(f"a tensor outside of the file, {str(key)[:40]!r}")
