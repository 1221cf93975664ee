"""Conversion of rows in the units of the data to the inputs of a forecaster, and back, as preprocessor.json describes.

Preprocessing is causal: mean and scale come from training, and a missing value is filled from earlier rows.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.nets.config.forecaster_config import ForecasterConfig
from service.nets.forecast_inputs.calendar import calendar_columns
from service.nets.forecast_inputs.scaling import MAX_SCALED, Numbers, fill_forward, read_scaling

Times = NDArray[np.int64]


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
        fill_forward(filled, missing & forward, last)
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


def read_preprocessor(folder: Path, config: ForecasterConfig) -> Preprocessor:
    """Read preprocessor.json.

    Raises ModelFolderError if it cannot be read, is invalid, or does not agree with `config`.
    """
    scaling = read_scaling(folder, config.features, config.frequency)
    return Preprocessor(config, scaling.mean, scaling.scale, scaling.clamp, scaling.fill)
