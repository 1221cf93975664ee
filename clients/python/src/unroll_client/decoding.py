"""Decoding of JSON into dataclasses."""

import dataclasses
import functools
import types
from datetime import datetime
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from unroll_client.errors import ConnectionFailed

T = TypeVar("T")


def decode(kind: type[T], value: object) -> T:
    """Return JSON as a dataclass. Members that the class does not know are left out.

    Raises ConnectionFailed if a required member is missing.
    """
    if not isinstance(value, dict):
        raise ConnectionFailed(f"the answer is {value!r:.100}: expected a {kind.__name__}")
    known = _fields(cast("Any", kind))
    fields = {name: _convert(hint, value[name]) for name, (hint, _) in known.items() if name in value}
    missing = [name for name, (_, required) in known.items() if required and name not in fields]
    if missing:
        raise ConnectionFailed(f"the answer has no {missing[0]}: expected a {kind.__name__}")
    return kind(**fields)


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:  # noqa: ANN401 - a class
    """Return the type of each field of a dataclass, and whether it is required."""
    hints = get_type_hints(kind)
    return {
        item.name: (
            hints[item.name],
            item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING,
        )
        for item in dataclasses.fields(kind)
    }


def _convert(hint: Any, value: Any) -> Any:  # noqa: ANN401 - JSON by its type
    if value is None:
        return None
    if hint is datetime:
        return datetime.fromisoformat(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, value)
    return _convert_generic(hint, value)


def _convert_generic(hint: Any, value: Any) -> Any:  # noqa: ANN401 - JSON by its type
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _choose([option for option in get_args(hint) if option is not types.NoneType], value)
    if origin is list and isinstance(value, list):
        (item,) = get_args(hint)
        return [_convert(item, element) for element in value] if _is_converted(item) else value
    return value


def _choose(options: list[Any], value: Any) -> Any:  # noqa: ANN401 - JSON by its type
    """Convert to the first dataclass whose required members are there; values of other types stay as they are."""
    if len(options) == 1:
        return _convert(options[0], value)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(option, type) and isinstance(value, dict):
            required = {name for name, (_, required) in _fields(option).items() if required}
            if required <= value.keys():
                return decode(option, value)
    return value


def _is_converted(hint: Any) -> bool:  # noqa: ANN401 - a type
    """Return whether values of a type differ from their JSON, so that a list of plain numbers is not walked."""
    return hint is datetime or dataclasses.is_dataclass(hint) or get_origin(hint) is not None
