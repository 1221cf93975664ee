"""Plain values among those of a pickle or of JSON: texts and numbers, also those that numpy wrote."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.tooling.formats.values.arrays import Array, array_of, objects_of, scalar_of
from service.tooling.pickles.values import Instance, PickleError

#: Numbers of one feature that a scaling can have: as many as preprocessor.json.
MAX_NUMBERS = 4096


def texts_of(value: object) -> list[str] | None:
    """Return a list of texts, also one that numpy pickled, or None for any other value."""
    items: object = value
    if isinstance(value, Instance):
        objects = objects_of(value)
        items = _unicode(value) if objects is None else objects
    if isinstance(items, Sequence) and not isinstance(items, str | bytes) and items:
        return [*items] if all(isinstance(item, str) for item in items) else None
    return None


def numbers_of(value: object) -> list[float] | None:
    """Return a list of numbers, also an array of numpy or a single number, or None for any other value."""
    if isinstance(value, Instance):
        value = _array_or_scalar(value)
    if isinstance(value, np.ndarray):
        return _numbers_of_array(value)
    items: list[Any] = [*value] if isinstance(value, list | tuple) else [value]
    if not items or len(items) > MAX_NUMBERS or any(type(item) not in {int, float} for item in items):
        return None
    return [float(item) for item in items]


def _numbers_of_array(array: Array) -> list[float] | None:
    if array.dtype.kind not in "fiu" or array.size > MAX_NUMBERS:
        return None
    return [float(number) for number in array.reshape(-1)]


def _array_or_scalar(value: Instance) -> object:
    """Return the array or the number that numpy pickled, None for a damaged one or another value."""
    try:
        array = array_of(value)
    except PickleError:
        return None
    return scalar_of(value) if array is None else array


def _unicode(value: Instance) -> list[str] | None:
    """Return the texts of an array of numpy whose dtype is a text of fixed length, such as `<U5`."""
    state = value.state
    if not value.name.endswith(".multiarray._reconstruct") or not isinstance(state, tuple) or len(state) < 5:
        return None
    _, shape, dtype, _, data = state[:5]
    size = characters_of(dtype)
    if not size or not isinstance(data, bytes) or not isinstance(shape, tuple) or len(shape) != 1:
        return None
    return unicode_texts(data, size) if shape[0] == len(data) // (4 * size) else None


def unicode_texts(data: bytes, characters: int) -> list[str]:
    """Return the texts of an array of numpy, each stored as so many characters of four bytes."""
    width = 4 * characters
    texts = (data[start : start + width].decode("utf-32-le", "replace") for start in range(0, len(data), width))
    return [text.rstrip("\0") for text in texts]


def characters_of(dtype: object) -> int:
    """Return the number of characters of a numpy dtype of texts, or 0 for another value."""
    if not isinstance(dtype, Instance) or dtype.name != "numpy.dtype" or not dtype.arguments:
        return 0
    kind = str(dtype.arguments[0])
    return int(kind[1:]) if kind[:1] == "U" and kind[1:].isdecimal() and len(kind) < 8 else 0
