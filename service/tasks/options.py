"""Options of one task, given to another, are refused by name."""

from dataclasses import fields

from service.errors import InvalidRequest
from service.types import PredictOptions


def refuse_foreign(options: PredictOptions, who: str, *own: str) -> PredictOptions:
    """Return `options` if all that is given is among `own`. Raises InvalidRequest naming the first that is not."""
    for field in fields(options):
        value = getattr(options, field.name)
        foreign = field.compare and field.name not in own
        if foreign and (field.name in options.given or value != field.default):
            raise InvalidRequest(
                f"options.{field.name} is {value!r}: expected it to be left out, since {who} has {', '.join(own)}",
                param=f"options.{field.name}",
            )
    return options
