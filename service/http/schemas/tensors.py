"""Tensors in request bodies: nested lists by name, flattened and checked at once.

The dtype of a tensor follows from its JSON: BOOL, INT64, UINT64 for integers beyond it, or FP64. The model converts it.
"""

import struct
from itertools import chain
from math import isfinite
from typing import Any, Final, NoReturn

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from service.domain.tensors import Tensor, make_tensor

MAX_TENSORS: Final = 64
MAX_AXES: Final = 10
MAX_NAME_CHARACTERS: Final = 256
_NUMBERS: Final = frozenset({int, float})


def read_tensors(value: object) -> tuple[Tensor, ...]:
    """Return tensors from an object of nested lists. Raises ValidationError."""
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_TENSORS:
        _reject(value, f"expected an object of 1 to {MAX_TENSORS} tensors, nested lists of numbers by name")
    for name in value:
        if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            _reject(name[:80], f"expected names of at most {MAX_NAME_CHARACTERS} printable characters")
    return tuple(_read(name, tensor) for name, tensor in value.items())


def _read(name: str, value: object) -> Tensor:
    elements, shape = _flatten(name, value)
    types = set(map(type, elements))
    if types == {bool}:
        return make_tensor(name, "BOOL", shape, elements)
    if not types <= _NUMBERS:
        wrong = next(element for element in elements if type(element) not in _NUMBERS)
        _reject(wrong, "expected numbers only, or true and false only", name)
    if float not in types:
        return _integers(name, shape, elements)
    try:
        floats = list(map(float, elements))
    except OverflowError:
        floats = [float("inf")]
    if not all(map(isfinite, floats)):
        _reject("a number", "expected numbers that float64 can hold", name)
    return make_tensor(name, "FP64", shape, floats)


def _integers(name: str, shape: tuple[int, ...], elements: list[Any]) -> Tensor:
    datatype = "INT64" if max(elements) < 2**63 else "UINT64"
    try:
        return make_tensor(name, datatype, shape, elements)
    except (struct.error, OverflowError):
        return _reject(max(elements, key=abs), "expected integers that int64 or uint64 can hold", name)


def _flatten(name: str, value: object) -> tuple[list[Any], tuple[int, ...]]:
    """Return the elements and the shape of nested lists of equal lengths; a number has no axes."""
    if not isinstance(value, list):
        return [value], ()
    elements, shape = value, [len(value)]
    while elements and type(elements[0]) is list:
        size = len(elements[0])
        if set(map(type, elements)) != {list} or set(map(len, elements)) != {size}:
            _reject(_shortest(elements), f"expected lists of {size} at depth {len(shape)}, as the first one is", name)
        if len(shape) == MAX_AXES:
            _reject(value, f"expected at most {MAX_AXES} axes", name)
        elements = [*chain.from_iterable(elements)]
        shape.append(size)
    if not elements:
        _reject(value, "expected at least one number", name)
    return elements, tuple(shape)


def _shortest(lists: list[Any]) -> object:
    """Return an entry that differs from the first one in type or length."""
    first = len(lists[0])
    return next(item for item in lists if type(item) is not list or len(item) != first)


def _reject(value: object, expected: str, *location: str) -> NoReturn:
    """Raise the ValidationError of a value at `location` inside the tensors."""
    kind = PydanticCustomError("tensors", "{expected}", {"expected": expected})
    raise ValidationError.from_exception_data("tensors", [InitErrorDetails(type=kind, loc=location, input=value)])
