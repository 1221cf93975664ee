"""Scaling of the features of rows, and replacement of missing values, as preprocessor.json states them.

Both are causal: mean and scale come from training, and a missing value is filled from earlier rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.nets.config.loader import quote, read_json, shorten
from service.nets.config.sections import PREPROCESSOR_FILE
from service.nets.config.strict_model import StrictModel

#: The clamp of models that have none: far outside of training data, and well inside the range of float32.
MAX_SCALED = 1e6
#: The largest scale. Scaled values times it are far inside the range of float64.
MAX_SCALE = 1e100
MAX_FILE_BYTES = 2**22

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


class PreprocessorFile(StrictModel):
    """The fields of preprocessor.json."""

    format_version: Literal[1]
    features: Annotated[list[str], Field(max_length=4096)]
    mean: Annotated[list[float], Field(max_length=4096)]
    scale: Annotated[list[Annotated[float, Field(gt=0)]], Field(max_length=4096)]
    frequency: str | None = None
    clamp: Annotated[float, Field(gt=0)] | None = None
    missing: Literal["last", "mean"] = "last"


@dataclass(frozen=True)
class Scaling:
    """Mean and scale (F,) of each feature, the limit of scaled values, and the replacement of a missing value."""

    mean: Numbers
    scale: Numbers
    clamp: float
    fill: Literal["last", "mean"]

    def fill_rows(self, values: Numbers, last: Numbers) -> tuple[Numbers, Flags]:
        """Return values (n, F), NaN where missing, scaled, clamped and filled, and which of them were missing.

        The rows follow the filled row `last` (F,).
        """
        standard = (values - self.mean) / self.scale
        missing = np.isnan(standard)
        filled = np.where(missing, 0.0, np.clip(standard, -self.clamp, self.clamp))
        if self.fill == "last" and missing.any():
            fill_forward(filled, missing, last)
        return filled, missing


def fill_forward(filled: Numbers, gaps: Flags, last: Numbers) -> None:
    """Replace the `gaps` (n, F) of rows `filled` (n, F) by the values of the row before; `last` (F,) is the first."""
    for row, own in zip(filled, gaps, strict=True):
        row[own] = last[own]
        last = row


def read_scaling(folder: Path, features: Sequence[str], frequency: str | None) -> Scaling:
    """Read preprocessor.json, whose features and frequency must be those of config.json.

    Raises ModelFolderError if it cannot be read, is invalid, or does not agree.
    """
    path = folder / PREPROCESSOR_FILE
    fields = _read_fields(path)
    for name, value, expected in (
        ("features", fields.features, [*features]),
        ("frequency", fields.frequency, frequency),
    ):
        if value != expected:
            found = shorten(str(value))
            raise ModelFolderError(
                f"{path}: {name}: found {found}, expected {shorten(str(expected))} as in config.json"
            )
    for name, numbers in (("mean", fields.mean), ("scale", fields.scale)):
        if len(numbers) != len(features) or not np.isfinite(numbers).all():
            found = shorten(str(numbers))
            raise ModelFolderError(f"{path}: {name}: found {found}, expected {len(features)} finite numbers")
    _check_sizes(path, fields)
    clamp = MAX_SCALED if fields.clamp is None else min(fields.clamp, MAX_SCALED)
    return Scaling(np.array(fields.mean), np.array(fields.scale), clamp, fields.missing)


def _read_fields(path: Path) -> PreprocessorFile:
    content = read_file(path, MAX_FILE_BYTES, "mean and scale")
    try:
        return PreprocessorFile.model_validate(read_json(content, str(path)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ModelFolderError(f"{path}: {place}: found {quote(first['input'])}; {first['msg']}") from error


def _check_sizes(path: Path, fields: PreprocessorFile) -> None:
    """Raise ModelFolderError for numbers with which a forecast in the units of the data would not be finite."""
    largest = max(map(abs, fields.mean), default=0.0)
    if largest > MAX_SCALE:
        raise ModelFolderError(f"{path}: mean: found {largest:g}, expected at most {MAX_SCALE:g} in magnitude")
    for scale in fields.scale:
        if not 1 / MAX_SCALE <= scale <= MAX_SCALE:
            raise ModelFolderError(
                f"{path}: scale: found {scale:g}, expected numbers from {1 / MAX_SCALE:g} to {MAX_SCALE:g}"
            )
