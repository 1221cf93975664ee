"""Series of numbers and of times in request bodies.

A request may bring hundreds of thousands of numbers: plain functions check all of them at once, and look for the one to
name only where something is wrong. Every refusal is placed at its entry.
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
GAPPY = NUMBERS | {type(None)}
TIME = "expected a time with its offset as in RFC 3339, such as 2024-05-01T12:00:00Z"


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


def refuse(found: object, expected: str, *place: str | int) -> NoReturn:
    """Raise pydantic's error for what was `found` at `place` inside of the value that is being read."""
    kind = PydanticCustomError("series", "{expected}", {"expected": expected})
    raise ValidationError.from_exception_data("series", [InitErrorDetails(type=kind, loc=place, input=found)])


def read_values(given: object) -> Rows:
    """Return observations: [number|null], or [[number|null]] with rows of one width. Raises ValidationError."""
    return _read(given, GAPPY, "a number, or null where it is missing")


def read_future(given: object) -> Rows:
    """Return known covariates: as observations, with no gaps. Raises ValidationError."""
    return _read(given, NUMBERS, "a number, since it must be known in advance")


def _read(given: object, kinds: frozenset[type], number: str) -> Rows:
    if not isinstance(given, list) or not given:
        refuse(given, f"expected a list of at least one number, or of rows of numbers; each {number}")
    flat = not isinstance(given[0], list)
    if not flat:
        _check_rows(given, number)
    width, numbers = (1, given) if flat else (len(given[0]), list(chain.from_iterable(given)))
    if not _are_good(numbers, kinds):
        _name_the_first(given, flat, kinds, number)
    floats = [None if one is None else float(one) for one in numbers]
    return Rows(tuple(zip(*[iter(floats)] * width, strict=True)), flat)


def _check_rows(given: list[Any], number: str) -> None:
    """Raise ValidationError unless all are lists of one length."""
    if set(map(type, given)) == {list} and given[0] and len(set(map(len, given))) == 1:
        return
    width = len(given[0])
    if not width:
        refuse(given[0], f"expected a row of at least one number; each {number}", 0)
    for at, row in enumerate(given):
        if not isinstance(row, list):
            refuse(row, f"expected a row of {width}, a list as before it", at)
        if len(row) != width:
            refuse(row, f"expected a row of {width} as before it, found {len(row)}", at)


def _are_good(numbers: list[Any], kinds: frozenset[type]) -> bool:
    """Whether all are of the kinds, and numbers small enough; JSON brought them, so that none is NaN."""
    found = set(map(type, numbers))
    if not found <= kinds:
        return False
    sizes = map(abs, filter(None, numbers))
    return max(sizes, default=0) <= MAX_ABS


def _name_the_first(given: list[Any], flat: bool, kinds: frozenset[type], number: str) -> NoReturn:
    """Raise ValidationError at the first entry that is wrong; there is one."""
    for place, one in _places(given, flat):
        if type(one) not in kinds:
            refuse(one, f"expected {number}", *place)
        if one is not None and not abs(one) <= MAX_ABS:
            refuse(one, f"expected a number between -{MAX_ABS:g} and {MAX_ABS:g}", *place)
    raise AssertionError("no entry is wrong")


def _places(given: list[Any], flat: bool) -> Iterator[tuple[tuple[int, ...], Any]]:
    for at, row in enumerate(given):
        if flat:
            yield (at,), row
        else:
            yield from (((at, column), one) for column, one in enumerate(row))


def read_times(given: object) -> tuple[int, ...] | EvenTimes:
    """Return times in microseconds since 1970, ascending, or how to count them. Raises ValidationError."""
    if isinstance(given, dict):
        return _even_times(given)
    if not isinstance(given, list) or not given:
        refuse(given, "expected a list of times, one for each row of values, or start and step_seconds")
    times = [_time(one, at) for at, one in enumerate(given)]
    if not all(map(lt, times, times[1:])):
        at = next(at for at in range(1, len(times)) if times[at] <= times[at - 1])
        refuse(given[at], f"expected a later time than that of the row before, {given[at - 1]}", at)
    return tuple(times)


def _time(given: object, *place: str | int) -> int:
    try:
        if isinstance(given, str):
            return parse_rfc3339(given)
    except ValueError:
        pass
    refuse(given, TIME, *place)


def _even_times(given: dict[str, Any]) -> EvenTimes:
    for name, value in given.items():
        if name not in {"start", "step_seconds"}:
            refuse(value, "expected no such field beside start and step_seconds", name)
    for name in ("start", "step_seconds"):
        if name not in given:
            refuse(given, f"expected {name} in it")
    seconds = given["step_seconds"]
    if type(seconds) not in NUMBERS or not 1e-6 <= seconds <= MAX_ABS:
        refuse(seconds, "expected a number of seconds, of at least a millionth", "step_seconds")
    return EvenTimes(_time(given["start"], "start"), seconds * 1_000_000)


def fit_times(given: tuple[int, ...] | EvenTimes, rows: int) -> tuple[int, ...]:
    """Return one time for each of the rows. Raises ValidationError, placed at `timestamps`."""
    if isinstance(given, EvenTimes):
        if given.start + rows * given.step >= END:
            wanted = f"expected so few seconds that {rows} rows end before the year 10000"
            refuse(given.step / 1_000_000, wanted, "timestamps", "step_seconds")
        return tuple(given.start + round(at * given.step) for at in range(rows))
    if len(given) != rows:
        refuse(shown(given), f"expected {rows} times, one for each row of values, found {len(given)}", "timestamps")
    return given


def shown(given: tuple[int, ...] | EvenTimes) -> object:
    """Return times as a client may have written them, the first ones of many."""
    if isinstance(given, EvenTimes):
        return {"start": format_rfc3339(given.start), "step_seconds": given.step / 1_000_000}
    return [format_rfc3339(time) for time in given[:5]]
