"""Checks that an input is of the kind that a model reads: text or a series of observations."""

from service.domain.errors import InvalidRequest
from service.domain.operations import Input, SeriesInput, TextInput


def require_text(model_input: Input) -> TextInput:
    """Return `model_input` if it is text. Raises InvalidRequest if it is a series."""
    if isinstance(model_input, TextInput):
        return model_input
    raise InvalidRequest("input.values is given: expected text, since the model reads words", param="input.values")


def text_size(model_input: TextInput) -> int:
    """Return the largest number of tokens that a text can have, known without tokenizing it."""
    if model_input.text is not None:
        return len(model_input.text)
    return len(model_input.tokens or model_input.ids or ())


def require_series(model_input: Input) -> SeriesInput:
    """Return `model_input` if it is a series of observations. Raises InvalidRequest if it is text."""
    if isinstance(model_input, SeriesInput):
        return model_input
    field = next((name for name in ("text", "tokens", "ids") if getattr(model_input, name) is not None), "text")
    raise InvalidRequest(
        f"input.{field} is given: expected input.values, since the model reads observations", param=f"input.{field}"
    )
