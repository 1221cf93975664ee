"""Text and series: an input of the other kind is refused by name."""

from service.domain.errors import InvalidRequest
from service.domain.operations import Input, SeriesInput, TextInput


def require_text(given: Input) -> TextInput:
    """Return `given` if it is text. Raises InvalidRequest."""
    if isinstance(given, TextInput):
        return given
    raise InvalidRequest("input.values is given: expected text, since the model reads words", param="input.values")


def require_series(given: Input) -> SeriesInput:
    """Return `given` if it is observations. Raises InvalidRequest."""
    if isinstance(given, SeriesInput):
        return given
    field = next((name for name in ("text", "tokens", "ids") if getattr(given, name) is not None), "text")
    raise InvalidRequest(
        f"input.{field} is given: expected input.values, since the model reads observations", param=f"input.{field}"
    )
