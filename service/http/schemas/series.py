"""Series of numbers and of times in request bodies.

A request may contain hundreds of thousands of numbers. Plain functions check all of them at once, and search for the
wrong one only if there is one. Every error names the location of its entry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from operator import lt
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from service.domain.operations import MAX_ABS
from service.domain.rfc3339 import END, format_rfc3339, parse_rfc3339

NUMBERS = frozenset({int, float})
NUMBERS_OR_NULL = NUMBERS | {type(None)}
EXPECTED_TIME = "expected a time with its offset as in RFC 3339, such as 2024-05-01T12:00:00Z"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one width; `flat` where the client wrote numbers, each of which is a row."""

    rows: tuple[tuple[float | None, ...], ...]
    flat: bool


@dataclass(frozen=True, slots=True)
class EvenTimes:
    """A time, in microseconds since 1970, and how many microseconds later each next one is."""

    start: int
    step: float


def reject(value: object, expected: str, *location: str | int) -> NoReturn:
    """Raise the ValidationError of a value at `location` inside the field that is being read."""
    kind = PydanticCustomError("series", "{expected}", {"expected": expected})
    raise ValidationError.from_exception_data("series", [InitErrorDetails(type=kind, loc=location, input=value)])


def read_values(value: object) -> Rows:
    """Return observations from [number|null], or [[number|null]] with rows of equal width. Raises ValidationError."""
    return _read(value, NUMBERS_OR_NULL, "a number, or null where it is missing")


def read_future(value: object) -> Rows:
    """Return known covariates from [number], or [[number]] with rows of equal width. Raises ValidationError."""
    return _read(value, NUMBERS, "a number, since it must be known in advance")


def _read(value: object, types: frozenset[type], expected: str) -> Rows:
    if not isinstance(value, list) or not value:
        reject(value, f"expected a list of at least one number, or of rows of numbers; each {expected}")
    flat = not isinstance(value[0], list)
    if not flat:
        _check_rows(value, expected)
    width, numbers = (1, value) if flat else (len(value[0]), list(chain.from_iterable(value)))
    if not _are_valid(numbers, types):
        _reject_first_invalid(value, flat, types, expected)
    floats = [None if number is None else float(number) for number in numbers]
    return Rows(tuple(zip(*[iter(floats)] * width, strict=True)), flat)


def _check_rows(rows: list[Any], expected: str) -> None:
    """Raise ValidationError unless all rows are lists of one length."""
    if set(map(type, rows)) == {list} and rows[0] and len(set(map(len, rows))) == 1:
        return
    width = len(rows[0])
    if not width:
        reject(rows[0], f"expected a row of at least one number; each {expected}", 0)
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            reject(row, f"expected a row of {width}, a list as before it", index)
        if len(row) != width:
            reject(row, f"expected a row of {width} as before it, found {len(row)}", index)


def _are_valid(numbers: list[Any], types: frozenset[type]) -> bool:
    """Return whether all numbers are of the given types and within bounds. None is NaN, since they come from JSON."""
    if not set(map(type, numbers)) <= types:
        return False
    sizes = map(abs, filter(None, numbers))
    return max(sizes, default=0) <= MAX_ABS


def _reject_first_invalid(values: list[Any], flat: bool, types: frozenset[type], expected: str) -> NoReturn:
    """Raise the ValidationError of the first invalid entry; there must be one."""
    for location, number in _entries(values, flat):
        if type(number) not in types:
            reject(number, f"expected {expected}", *location)
        if number is not None and not abs(number) <= MAX_ABS:
            reject(number, f"expected a number between -{MAX_ABS:g} and {MAX_ABS:g}", *location)
    raise AssertionError("no entry is invalid")


def _entries(values: list[Any], flat: bool) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Yield every entry with its location: (row,) or (row, column)."""
    for index, row in enumerate(values):
        if flat:
            yield (index,), row
        else:
            yield from (((index, column), number) for column, number in enumerate(row))


def read_times(value: object) -> tuple[int, ...] | EvenTimes:
    """Return ascending times in microseconds since 1970, or times at equal distances. Raises ValidationError."""
    if isinstance(value, dict):
        return _even_times(value)
    if not isinstance(value, list) or not value:
        reject(value, "expected a list of times, one for each row of values, or start and step_seconds")
    times = [_time(text, index) for index, text in enumerate(value)]
    if not all(map(lt, times, times[1:])):
        index = next(index for index in range(1, len(times)) if times[index] <= times[index - 1])
        reject(value[index], f"expected a later time than that of the row before, {value[index - 1]}", index)
    return tuple(times)


def _time(value: object, *location: str | int) -> int:
    try:
        if isinstance(value, str):
            return parse_rfc3339(value)
    except ValueError:
        pass
    reject(value, EXPECTED_TIME, *location)


def _even_times(fields: dict[str, Any]) -> EvenTimes:
    for name, value in fields.items():
        if name not in {"start", "step_seconds"}:
            reject(value, "expected no such field beside start and step_seconds", name)
    for name in ("start", "step_seconds"):
        if name not in fields:
            reject(fields, f"expected {name} in it")
    seconds = fields["step_seconds"]
    if type(seconds) not in NUMBERS or not 1e-6 <= seconds <= MAX_ABS:
        reject(seconds, "expected a number of seconds, of at least a millionth", "step_seconds")
    return EvenTimes(_time(fields["start"], "start"), seconds * 1_000_000)


def fit_times(times: tuple[int, ...] | EvenTimes, rows: int) -> tuple[int, ...]:
    """Return one time for each of the rows. Raises ValidationError, located at `timestamps`."""
    if isinstance(times, EvenTimes):
        if times.start + rows * times.step >= END:
            expected = f"expected so few seconds that {rows} rows end before the year 10000"
            reject(times.step / 1_000_000, expected, "timestamps", "step_seconds")
        return tuple(times.start + round(index * times.step) for index in range(rows))
    if len(times) != rows:
        expected = f"expected {rows} times, one for each row of values, found {len(times)}"
        reject(to_excerpt(times), expected, "timestamps")
    return times


def to_excerpt(times: tuple[int, ...] | EvenTimes) -> object:
    """Return times as a client may have sent them, at most the first five."""
    if isinstance(times, EvenTimes):
        return {"start": format_rfc3339(times.start), "step_seconds": times.step / 1_000_000}
    return [format_rfc3339(time) for time in times[:5]]
