"""Inputs and options of requests."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from unroll_client import arrays

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

#: A text, tokens, observations (numbers, or rows of numbers; None or NaN if missing), or the JSON of an input.
Input: TypeAlias = (
    "str | Mapping[str, Any] | Sequence[str] | Sequence[float | None] | Sequence[Sequence[float | None]] "
    "| np.ndarray[Any, Any] | pd.Series[Any] | pd.DataFrame"
)

#: What a sequence of a conditioned model begins with, such as the features of an image.
Vector: TypeAlias = "Sequence[float] | np.ndarray[Any, Any] | pd.Series[Any]"


class PredictOptions(TypedDict, total=False):
    """Options of predictions and steps. docs/api.md tells which task has which."""

    top_k: int
    complete: bool
    beam_size: int
    max_tokens: int
    alternatives: int
    attention: bool
    horizon: int
    quantiles: Sequence[float]
    samples: int
    seed: int
    every: Literal["step", "last"]
    steps: bool


class GenerateOptions(TypedDict, total=False):
    """Options of a generation."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    stop: Sequence[str]


def to_input(value: "Input") -> dict[str, Any]:
    """Return an input as JSON.

    A mapping is sent as it is, such as `{"ids": [3, 4]}` or `{"tensors": {"x": array}}`, with lists in place of arrays.
    A pandas object with a DatetimeIndex brings its timestamps.
    """
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Mapping):
        return {name: arrays.to_json(member) for name, member in value.items()}
    if arrays.is_pandas(value):
        times = arrays.times_of(value)
        return {"values": arrays.to_values(value)} | ({} if times is None else {"timestamps": times})
    if not arrays.is_numpy(value) and len(value) > 0 and all(isinstance(item, str) for item in value):
        return {"tokens": list(value)}
    return {"values": arrays.to_values(value)}


def with_vector(value: "Input | None", vector: "Vector | None") -> dict[str, Any]:
    """Return an input, a vector in front of it, or a vector alone as JSON. Raises ValueError for neither."""
    if value is None and vector is None:
        raise ValueError("there is neither an input nor a vector: expected one of them, or both")
    fields = {} if value is None else to_input(value)
    return fields if vector is None else {**fields, "vector": arrays.to_vector(vector)}


def to_series(values: "Input", timestamps: Any = None, future: Any = None) -> dict[str, Any]:  # noqa: ANN401
    """Return observations with their times and the covariates known in advance as JSON."""
    fields = to_input(values)
    if timestamps is not None:
        fields["timestamps"] = arrays.to_times(timestamps)
    if future is not None:
        fields["future"] = arrays.to_values(future)
    return fields


def to_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a member of a request; without any, nothing."""
    return {"options": dict(options)} if options else {}
