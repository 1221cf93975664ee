"""Conversion of rows in the units of the data to the inputs of a forecaster, and back, as preprocessor.json describes.

Preprocessing is causal: mean and scale come from training, and a missing value is filled from earlier rows.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.nets.config.forecaster_config import PREPROCESSOR_FILE, ForecasterConfig
from service.nets.config.loader import quote, read_json, shorten
from service.nets.config.strict_model import StrictModel
from service.nets.forecast_inputs.calendar import calendar_columns

#: The clamp of models that have none: far outside of training data, and well inside the range of float32.
MAX_SCALED = 1e6
#: The largest scale. Scaled values times it are far inside the range of float64.
MAX_SCALE = 1e100
MAX_FILE_BYTES = 2**22

Numbers = NDArray[np.float64]
Times = NDArray[np.int64]


class PreprocessorFile(StrictModel):
    """The fields of preprocessor.json."""

    format_version: Literal[1]
    features: Annotated[list[str], Field(max_length=4096)]
    mean: Annotated[list[float], Field(max_length=4096)]
    scale: Annotated[list[Annotated[float, Field(gt=0)]], Field(max_length=4096)]
    frequency: str | None = None
    clamp: Annotated[float, Field(gt=0)] | None = None
    missing: Literal["last", "mean"] = "last"


@dataclass(frozen=True, slots=True)
class History:
    """Filled and clamped past values that later rows need: the last row (F,) and the targets of a season (S, T)."""

    last: Numbers
    targets: Numbers

    def season(self, steps: int) -> Numbers:
        """Return the targets (steps, T) one season before the next rows; further ahead the last season repeats."""
        return self.targets[np.arange(steps) % len(self.targets)]


@dataclass(frozen=True, slots=True)
class PreprocessedRows:
    """Preprocessed observations: network inputs (n, W), filled values (n, F), and `scaled` values (n, F) with NaN."""

    inputs: Numbers
    filled: Numbers
    scaled: Numbers


@dataclass(frozen=True)
class Preprocessor:
    """Scaling of each feature and filling of missing values; `mean` and `scale` are (F,).

    `clamp` limits scaled values in magnitude; `fill` is the replacement of a missing value.
    """

    config: ForecasterConfig
    mean: Numbers
    scale: Numbers
    clamp: float
    fill: Literal["last", "mean"]

    @cached_property
    def target(self) -> list[int]:
        """The indices of the features to forecast."""
        return self._columns(self.config.target)

    @cached_property
    def known(self) -> list[int]:
        """The indices of the features that are known in advance."""
        return self._columns(self.config.known)

    @cached_property
    def static(self) -> list[int]:
        """The indices of the features that never change."""
        return self._columns(self.config.static)

    def _columns(self, names: list[str]) -> list[int]:
        return [self.config.features.index(name) for name in names]

    def initial_history(self) -> History:
        """Return the history before the first row, in which every value is its mean."""
        season = (self.config.season, len(self.config.target))
        return History(np.zeros(len(self.config.features)), np.zeros(season))

    def scale_values(self, values: Numbers) -> Numbers:
        """Return rows (n, F) scaled and clamped, with NaN where a value is missing."""
        return np.clip((values - self.mean) / self.scale, -self.clamp, self.clamp)

    def transform(self, values: Numbers, times: Times | None, last: Numbers) -> PreprocessedRows:
        """Preprocess values (n, F), NaN where missing, at times (n,), that follow the filled row `last` (F,)."""
        standard = (values - self.mean) / self.scale
        missing = np.isnan(standard)
        filled = np.where(missing, 0.0, np.clip(standard, -self.clamp, self.clamp))
        forward = np.ones(len(self.mean), bool)
        if self.fill == "mean":
            forward[:] = False
            forward[self.static] = True
        for row, gaps in zip(filled, missing & forward, strict=True):
            row[gaps] = last[gaps]
            last = row
        # Scores compare with the actual values, not with the clamped inputs; this limit only keeps them in range.
        inputs = self.network_inputs(filled, missing, times)
        return PreprocessedRows(inputs, filled, np.clip(standard, -MAX_SCALED, MAX_SCALED))

    def network_inputs(self, filled: Numbers, missing: NDArray[np.bool_], times: Times | None) -> Numbers:
        """Return the network's inputs (n, W): filled features (n, F), missing indicators, calendar features.

        The times are those of the rows, (n,), or one time of all rows, (1,).
        """
        parts = [filled]
        if self.config.missing_indicator:
            parts.append(np.delete(missing, self.static, axis=1).astype(np.float64))
        if self.config.calendar and times is not None:
            parts.append(_for_rows(calendar_columns(self.config.calendar, times), len(filled)))
        return np.concatenate(parts, axis=1)

    def advance(self, history: History, filled: Numbers) -> History:
        """Return the history after rows `filled` (n, F)."""
        if not len(filled):
            return history
        targets = np.concatenate([history.targets, filled[:, self.target]])
        return History(filled[-1], targets[len(targets) - self.config.season :])

    def scale_known(self, future: Numbers) -> Numbers:
        """Return the known covariates of steps ahead, (k, covariates), scaled and clamped."""
        return np.clip((future - self.mean[self.known]) / self.scale[self.known], -self.clamp, self.clamp)

    def times_after(self, last: int | None, steps: int) -> Times | None:
        """Return the times (steps,) of the next rows, or None if the last time or the frequency is not known."""
        if last is None or self.config.step_seconds is None:
            return None
        return last + 1_000_000 * self.config.step_seconds * np.arange(1, steps + 1, dtype=np.int64)

    def future_features(self, times: Times | None, known: Numbers, season: Numbers) -> Numbers:
        """Return future features (k, K): known covariates, calendar of times (k,), season values (k, T or 0).

        Covariates and times can also be those of all rows, (1, covariates) and (1,).
        """
        parts = [known, season]
        if self.config.calendar and times is not None:
            parts.insert(1, calendar_columns(self.config.calendar, times))
        return np.concatenate([_for_rows(part, len(season)) for part in parts], axis=1)

    def future_inputs(self, history: History, times: Times | None, known: Numbers) -> tuple[Numbers, Numbers]:
        """Return the future features (k, K) of the next k steps, and the base (k, T) of their forecasts."""
        steps = len(known)
        season = history.season(steps) if self.config.season else np.zeros((steps, 0))
        last = np.tile(history.last[self.target], (steps, 1))
        return self.future_features(times, known, season), self.base(season, last)

    def past_inputs(self, history: History, times: Times | None, filled: Numbers) -> tuple[Numbers, Numbers]:
        """Return the future inputs of the rows `filled` (n, F) after `history`, of each as known one row before it."""
        targets = filled[:, self.target]
        season = np.concatenate([history.targets, targets])[: len(filled)]
        season = season if self.config.season else np.zeros((len(filled), 0))
        last = np.concatenate([history.last[None, self.target], targets])[: len(filled)]
        return self.future_features(times, filled[:, self.known], season), self.base(season, last)

    def base(self, season: Numbers, last: Numbers) -> Numbers:
        """Return the base (k, T) that forecasts are added to: the value one season before, the last one, or 0."""
        if not self.config.output_residual:
            return np.zeros_like(last)
        return season if self.config.season else last

    def unscale(self, scaled: Numbers) -> Numbers:
        """Return scaled targets (..., T) in the units of the input."""
        return scaled * self.scale[self.target] + self.mean[self.target]


def _for_rows(columns: Numbers, rows: int) -> Numbers:
    """Return columns (n, K) for each of `rows` rows, of which n is the number, or one row for all of them."""
    return columns if len(columns) == rows else np.broadcast_to(columns, (rows, columns.shape[1]))


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


def read_preprocessor(folder: Path, config: ForecasterConfig) -> Preprocessor:
    """Read preprocessor.json.

    Raises ModelFolderError if it cannot be read, is invalid, or does not agree with `config`.
    """
    path = folder / PREPROCESSOR_FILE
    fields = _read_fields(path)
    count = len(config.features)
    for name, value, expected in (
        ("features", fields.features, config.features),
        ("frequency", fields.frequency, config.frequency),
    ):
        if value != expected:
            found = shorten(str(value))
            raise ModelFolderError(
                f"{path}: {name}: found {found}, expected {shorten(str(expected))} as in config.json"
            )
    for name, numbers in (("mean", fields.mean), ("scale", fields.scale)):
        if len(numbers) != count or not np.isfinite(numbers).all():
            found = shorten(str(numbers))
            raise ModelFolderError(f"{path}: {name}: found {found}, expected {count} finite numbers")
    _check_sizes(path, fields)
    clamp = MAX_SCALED if fields.clamp is None else min(fields.clamp, MAX_SCALED)
    return Preprocessor(config, np.array(fields.mean), np.array(fields.scale), clamp, fields.missing)
