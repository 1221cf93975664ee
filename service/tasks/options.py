"""Options of one task, given to another, are refused by name."""

from dataclasses import fields
from functools import cache

from service.domain.errors import InvalidRequest
from service.domain.operations import PredictOptions


def reject_foreign_options(options: PredictOptions, who: str, *own: str) -> PredictOptions:
    """Return `options` if all that is given is among `own`. Raises InvalidRequest naming the first that is not."""
    for name, default in _foreign(own):
        value = getattr(options, name)
        if name in options.given or value != default:
            raise InvalidRequest(
                f"options.{name} is {value!r}: expected it to be left out, since {who} has {', '.join(own)}",
                param=f"options.{name}",
            )
    return options


@cache
def _foreign(own: tuple[str, ...]) -> list[tuple[str, object]]:
    """The names and defaults of all other options."""
    return [(field.name, field.default) for field in fields(PredictOptions) if field.compare and field.name not in own]
