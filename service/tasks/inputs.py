"""Checks that an input is of the kind that a model reads: text or a series of observations."""

import re
from dataclasses import replace

from service.domain.errors import InvalidRequest
from service.domain.operations import Input, SeriesInput, TextInput

#: Controls but for tab and the ends of lines, soft hyphen, zero-width characters, word joiner, byte order mark.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b-\u200d\u2060\ufeff]")


def require_text(model_input: Input) -> TextInput:
    """Return `model_input` if it is text, without the characters that print nothing.

    Tokens are entries of the vocabulary and stay as they are. Raises InvalidRequest if it is a series.
    """
    if isinstance(model_input, TextInput):
        text, target = _visible(model_input.text), _visible(model_input.target)
        if text is model_input.text and target is model_input.target:
            return model_input
        return replace(model_input, text=text, target=target)
    raise InvalidRequest("input.values is given: expected text, since the model reads words", param="input.values")


def _visible(text: str | None) -> str | None:
    """Return a text without the characters that print nothing; most texts have none and are returned themselves."""
    if text is None or text.isprintable():
        return text
    return _INVISIBLE.sub("", text)


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
