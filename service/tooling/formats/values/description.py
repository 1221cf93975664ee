"""Short descriptions of the values in a file, for reports."""

from collections.abc import Iterator
from itertools import islice

from service.tooling.formats.values.arrays import array_of, scalar_of
from service.tooling.formats.values.state_dicts import entries_of, shown, stored_tensor_or_none
from service.tooling.pickles.values import Instance, PickleError

#: Entries beside the weights, and attributes of an object, that are described.
MAX_ENTRIES = 500
_SIMPLE = str | int | float | bool | None


def describe_others(saved: object, paths: list[tuple[str, ...]]) -> Iterator[str]:
    """Describe each entry of a file except those on the way to the weights, which stand at `paths`."""
    if () in paths or not isinstance(saved, dict):
        return
    for key, value in islice(saved.items(), MAX_ENTRIES):
        name = shown(key)
        if not any(path[:1] == (name,) for path in paths):
            yield f"{name}: {brief(value)}"


def brief(value: object) -> str:
    """Return a short description of a value."""
    if isinstance(value, _SIMPLE):
        return shown(repr(value))
    if not isinstance(value, Instance):
        return f"a {type(value).__name__}"
    if (number := scalar_of(value)) is not None:
        return shown(repr(number))
    if stored_tensor_or_none(value) is not None:
        return "a Tensor"
    return _brief_instance(value)


def _brief_instance(value: Instance) -> str:
    """Describe an object of any class by the plain values in it."""
    try:
        if array_of(value) is not None:
            return "an array"
    except PickleError:
        return "a damaged array"
    if value.name.startswith("pathlib."):
        return shown(repr("/".join(part for part in value.arguments if isinstance(part, str)).replace("//", "/")))
    name = value.name or "another class"
    plain = {key: item for key, item in entries_of(value).items() if isinstance(item, _SIMPLE)}
    if not plain:
        return f"an object of {name}"
    parts = [f"{shown(key)}={shown(repr(item))}" for key, item in islice(plain.items(), MAX_ENTRIES)]
    return f"{name}({', '.join(parts)})"
