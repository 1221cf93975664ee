"""Arrays and numbers of numpy in a pickle, built from their bytes without numpy's own functions for pickles."""

import re
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.tooling.pickles.values import Instance, PickleError

Array = NDArray[Any]
MAX_DIMENSIONS = 32
DTYPE = re.compile(r"[<>=|]?(?:f[248]|[iu][1248]|b1|\?)")


def dtype_of(text: str) -> np.dtype[Any]:
    """Return the numpy dtype of a plain number. Raises PickleError for any other."""
    if not DTYPE.fullmatch(text):
        raise PickleError(f"an array of {text[:40]!r}, and only plain numbers are read")
    return np.dtype(text)


def shaped(data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> Array:
    """Return the array of these bytes, in the byte order of the machine. Raises PickleError if their number differs."""
    if len(shape) > MAX_DIMENSIONS or any(type(size) is not int or not 0 <= size < 2**62 for size in shape):
        raise PickleError("an array whose shape is none")
    if prod(shape) * dtype.itemsize != len(data):
        raise PickleError(f"an array of shape {str([*shape])[:80]} and {len(data)} bytes")
    array = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
    native: Array = array.reshape(shape, order="F" if order == "F" else "C").astype(dtype.newbyteorder("="))
    return native


def array_of(value: object) -> Array | None:
    """Return the array that a value of a pickle stands for, or None if it is no array of numbers.

    Raises PickleError for an array whose bytes do not fit its shape.
    """
    if not isinstance(value, Instance) or not value.name.startswith("numpy"):
        return None
    if value.name.endswith(".multiarray._reconstruct"):
        return _from_state(value.state)
    if value.name.endswith(".numeric._frombuffer") and len(value.arguments) == 4:
        data, dtype, shape, order = value.arguments
        return array_of_parts(data, dtype, shape, "F" if order == "F" else "C")
    return None


def scalar_of(value: object) -> float | None:
    """Return a number that numpy pickled, or None for any other value."""
    if not isinstance(value, Instance) or not value.name.endswith(".multiarray.scalar") or len(value.arguments) != 2:
        return None
    try:
        array = array_of_parts(value.arguments[1], value.arguments[0], (), "C")
    except PickleError:
        return None
    return None if array is None else array.item()


def objects_of(value: object) -> list[Any] | None:
    """Return the values of an array of objects, as `numpy.save` makes one of a dictionary, or None for any other."""
    if isinstance(value, Instance) and value.name.endswith(".multiarray._reconstruct"):
        state = value.state
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], list):
            return state[4]
    return None


def _from_state(state: object) -> Array | None:
    if not isinstance(state, tuple) or len(state) < 5:
        return None
    _, shape, dtype, is_fortran, data = state[:5]
    return array_of_parts(data, dtype, shape, "F" if is_fortran is True else "C")


def array_of_parts(data: object, dtype: object, shape: object, order: str) -> Array | None:
    """Return the array of values of a pickle, or None if they are not those of an array of plain numbers.

    Raises PickleError for bytes that do not fit the shape.
    """
    text = _dtype_text(dtype)
    if isinstance(data, str):  # as Python 2 wrote bytes
        data = data.encode("latin-1", "replace")
    if text is None or not DTYPE.fullmatch(text) or not isinstance(data, bytes | bytearray):
        return None
    if not isinstance(shape, tuple):
        return None
    return shaped(data, np.dtype(text), shape, order)


def _dtype_text(dtype: object) -> str | None:
    """Return a dtype of a pickle as numpy writes it, such as `<f4`."""
    if not isinstance(dtype, Instance) or dtype.name != "numpy.dtype" or not dtype.arguments:
        return None
    state, kind = dtype.state, dtype.arguments[0]
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if not isinstance(kind, str) or not isinstance(order, str):
        return None
    return kind if kind[:1] in "<>=|" else order + kind
