"""Conversion of a request's prediction options to the options of one task."""

from dataclasses import Field, fields
from functools import cache, lru_cache
from typing import Any, ClassVar, Protocol, TypeVar

from service.domain.errors import InvalidRequest
from service.domain.operations import PredictOptions


class Dataclass(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


OptionsT = TypeVar("OptionsT", bound=Dataclass)


def convert_options(options: PredictOptions, options_type: type[OptionsT], owner: str) -> OptionsT:
    """Return `options` as an `options_type`, a frozen dataclass whose fields are the options of `owner`.

    Raises InvalidRequest that names the first option of the request that `options_type` does not have.
    """
    converted: OptionsT = _convert(options, options.given, options_type, owner)
    return converted


# Most requests of a client have the same options. `given` is a key of its own: it takes no part in comparisons.
@lru_cache(256)
def _convert(options: PredictOptions, given: frozenset[str], options_type: type[OptionsT], owner: str) -> OptionsT:
    own = tuple(field.name for field in fields(options_type))
    for name, default in _foreign_options(own):
        value = getattr(options, name)
        if name in given or value != default:
            raise InvalidRequest(
                f"options.{name} is {value!r}: expected it to be left out, since {owner} has {', '.join(own)}",
                param=f"options.{name}",
            )
    return options_type(**{name: getattr(options, name) for name in own})


@cache
def _foreign_options(own: tuple[str, ...]) -> list[tuple[str, object]]:
    """Return the names and defaults of all options but `own`."""
    return [(field.name, field.default) for field in fields(PredictOptions) if field.compare and field.name not in own]
