"""Checks that an input is of the kind and size that a model reads: text, a series or tensors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from service.domain.errors import InputTooLong, InvalidRequest
from service.domain.operations import Input, SeriesInput, TensorInput, TextInput
from service.domain.visible_text import visible_text
from service.nets.forecast_inputs.scaling import Numbers

TEXT_FORMS = ("text", "tokens", "ids")


def require_text(model_input: Input, *, vector: bool = False) -> TextInput:
    """Return `model_input` if it is text, without the characters that print nothing.

    Tokens are entries of the vocabulary and stay as they are. `vector` says whether a vector may come with the text.
    Raises InvalidRequest if it is something else.
    """
    if isinstance(model_input, TextInput):
        if model_input.vector is not None and not vector:
            raise InvalidRequest(
                f"input.vector has {len(model_input.vector)} numbers: expected none, since the model begins with no "
                "vector",
                param="input.vector",
            )
        if not _has_text(model_input):
            raise InvalidRequest("input.text is missing: expected text beside input.vector", param="input.text")
        text = None if model_input.text is None else visible_text(model_input.text)
        target = visible_text(model_input.target) if isinstance(model_input.target, str) else model_input.target
        if text is model_input.text and target is model_input.target:
            return model_input
        return replace(model_input, text=text, target=target)
    field = _field(model_input)
    raise InvalidRequest(f"{field} is given: expected text, since the model reads words", param=field)


def optional_text(model_input: Input | None) -> TextInput | None:
    """Return `model_input` as `require_text` does, None if there is none or a vector is all of it."""
    if isinstance(model_input, TextInput) and not _has_text(model_input):
        return None
    return None if model_input is None else require_text(model_input, vector=True)


def text_field(text_input: TextInput) -> str:
    """Return the field of a request that a text comes from."""
    return next((f"input.{name}" for name in TEXT_FORMS if getattr(text_input, name) is not None), "input.text")


def _has_text(text_input: TextInput) -> bool:
    return any(getattr(text_input, name) is not None for name in TEXT_FORMS)


def text_size(model_input: TextInput) -> int:
    """Return the largest number of tokens that a text can have, known without tokenizing it."""
    if model_input.text is not None:
        return len(model_input.text)
    return len(model_input.tokens or model_input.ids or ())


def require_series(model_input: Input) -> SeriesInput:
    """Return `model_input` if it is a series of observations. Raises InvalidRequest if it is something else."""
    if isinstance(model_input, SeriesInput):
        return model_input
    field = _field(model_input)
    raise InvalidRequest(f"{field} is given: expected input.values, since the model reads observations", param=field)


def require_tensors(model_input: Input) -> TensorInput:
    """Return `model_input` if it is tensors. Raises InvalidRequest if it is something else."""
    if isinstance(model_input, TensorInput):
        return model_input
    field = _field(model_input)
    raise InvalidRequest(f"{field} is given: expected input.tensors, since the model reads tensors", param=field)


def _field(model_input: Input) -> str:
    """Return the field of a request that an input comes from."""
    if isinstance(model_input, TensorInput):
        return "input.tensors"
    if isinstance(model_input, SeriesInput):
        return "input.values"
    return "input.vector" if model_input.vector is not None else text_field(model_input)


def read_rows(series: SeriesInput, features: Sequence[str], max_rows: int) -> Numbers:
    """Return the rows (n, F) of a series, with NaN where a value is missing.

    Raises InputTooLong for more than `max_rows` rows, InvalidRequest for a row of another width.
    """
    width, rows = len(features), series.values or ()
    if len(rows) > max_rows:
        raise InputTooLong(f"input.values has {len(rows)} rows: expected at most {max_rows}", param="input.values")
    for index, row in enumerate(rows):
        if len(row) != width:
            raise InvalidRequest(
                f"input.values[{index}] has {len(row)} number{'s' * (len(row) != 1)}: expected {width} "
                f"({', '.join(features)})",
                param=f"input.values[{index}]",
            )
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)
