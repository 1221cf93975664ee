"""Targets in request bodies: the translation to score, or the label or numbers that an answer is compared with."""

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from service.domain.operations import MAX_ABS
from service.domain.operations import Target as DomainTarget
from service.http.schemas.series import NUMBERS, NUMBERS_OR_NULL, reject
from service.http.schemas.strict import require_unicode

EXPECTED = "expected a text, a list of texts, a number, a list of numbers, or a list of rows of numbers"


def read_target(value: object) -> DomainTarget:
    """Return a target from JSON. Numbers in lists may be null. Raises ValidationError and ValueError."""
    if isinstance(value, str):
        return require_unicode(value)
    if type(value) in NUMBERS:
        return _number(value)
    if not isinstance(value, list) or not value:
        reject(value, EXPECTED)
    if isinstance(value[0], str):
        return _texts(value)
    if isinstance(value[0], list):
        return tuple(_numbers(row, index) for index, row in enumerate(value))
    return _numbers(value)


def _texts(values: list[Any]) -> tuple[str, ...]:
    for index, text in enumerate(values):
        if not isinstance(text, str):
            reject(text, "expected a text as before it", index)
        require_unicode(text)
    return tuple(values)


def _numbers(values: object, *location: int) -> tuple[float | None, ...]:
    if not isinstance(values, list) or not values:
        reject(values, "expected a row of at least one number", *location)
    for index, number in enumerate(values):
        if type(number) not in NUMBERS_OR_NULL:
            reject(number, "expected a number, or null where it is not known", *location, index)
    return tuple(None if number is None else _number(number, *location, at) for at, number in enumerate(values))


def _number(value: Any, *location: int) -> float:  # noqa: ANN401 - an int or a float
    if not abs(value) <= MAX_ABS:
        reject(value, f"expected a number between -{MAX_ABS:g} and {MAX_ABS:g}", *location)
    return float(value)


_NUMBER = {"anyOf": [{"type": "number"}, {"type": "null"}]}
_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {"type": "number"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {"type": "array", "items": _NUMBER, "minItems": 1},
        {"type": "array", "items": {"type": "array", "items": _NUMBER, "minItems": 1}, "minItems": 1},
    ]
}
Target = Annotated[DomainTarget, PlainValidator(read_target), WithJsonSchema(_SCHEMA)]
