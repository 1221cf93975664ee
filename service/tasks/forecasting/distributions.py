"""Predictive distributions: means, quantiles, probabilities and anomaly scores of a forecast, in scaled units.

A quantile forecast is linear between its levels, with exponential tails through the two outermost levels: Y. Park et
al., "Learning quantile functions without quantile crossing for distribution-free time series forecasting" (2022).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers = NDArray[np.float64]
#: The distance of uniform random numbers from 0 and 1, whose quantiles would be infinite.
UNIFORM_MARGIN = 1e-6
#: The smallest probability of a Student-t quantile; scipy's is infinite below about 1e-300.
MIN_TAIL_PROBABILITY = 1e-100


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distributions of any number of values, given by the `parameters` (..., P) that a forecaster computes.

    `kind` is `point`, `gaussian`, `student_t` or `quantiles`; `levels` (P,) are those of the quantiles.
    """

    kind: str
    parameters: Numbers
    levels: Numbers

    def mean(self) -> Numbers:
        """Return the means, (...)."""
        if self.kind != "quantiles":
            location: Numbers = self.parameters[..., 0]
            return location
        values, levels = self.parameters, self.levels
        middle = (np.diff(levels) * (values[..., 1:] + values[..., :-1]) / 2).sum(-1)
        low, high = self._tails()
        below = levels[0] * (values[..., 0] - low)
        mean: Numbers = below + middle + (1 - levels[-1]) * (values[..., -1] + high)
        return mean

    def quantile(self, probability: Numbers) -> Numbers:
        """Return the quantiles (...) at `probability`, in (0, 1) and broadcast. Raises ValueError for points."""
        if self.kind == "point":
            raise ValueError("a point forecast has no quantiles")
        if self.kind == "quantiles":
            return self._quantile(probability)
        location, scale = self.parameters[..., 0], self.parameters[..., 1]
        standard = (
            special.ndtri(probability)
            if self.kind == "gaussian"
            else special.stdtrit(self.parameters[..., 2], np.maximum(probability, MIN_TAIL_PROBABILITY))
        )
        quantile: Numbers = location + scale * standard
        return quantile

    def probability(self, value: Numbers) -> Numbers:
        """Return the cumulative distribution function at `value` (...). Raises ValueError for points."""
        if self.kind == "point":
            raise ValueError("a point forecast has no probabilities")
        if self.kind == "quantiles":
            return self._probability(value)
        standard = (value - self.parameters[..., 0]) / self.parameters[..., 1]
        probability: Numbers = (
            special.ndtr(standard) if self.kind == "gaussian" else special.stdtr(self.parameters[..., 2], standard)
        )
        return probability

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.parameters.shape[:-1]

    def _tails(self) -> tuple[Numbers, Numbers]:
        """Return the scales of the exponential tails below the first and above the last level, (...)."""
        values, levels = self.parameters, self.levels
        low = (values[..., 1] - values[..., 0]) / np.log(levels[1] / levels[0])
        high = (values[..., -1] - values[..., -2]) / np.log((1 - levels[-2]) / (1 - levels[-1]))
        return low, high

    def _quantile(self, probability: Numbers) -> Numbers:
        values, levels, count = np.ascontiguousarray(self.parameters), self.levels, len(self.levels)
        left = np.minimum(np.maximum(np.searchsorted(levels, probability, side="right") - 1, 0), count - 2)
        indices = np.arange(0, values.size, count).reshape(self._shape) + left
        low, high = values.ravel()[indices], values.ravel()[indices + 1]
        part = (probability - levels[left]) / (levels[left + 1] - levels[left])
        inside = low + (high - low) * part
        tails, is_low, is_high = self._tails(), probability < levels[0], probability > levels[-1]
        below = values[..., 0] + tails[0] * _log_where(is_low, probability / levels[0])
        above = values[..., -1] - tails[1] * _log_where(is_high, (1 - probability) / (1 - levels[-1]))
        quantile: Numbers = np.where(is_low, below, np.where(is_high, above, inside))
        return quantile

    def _probability(self, value: Numbers) -> Numbers:
        values, levels = self.parameters, self.levels
        left = np.clip((values <= value[..., None]).sum(-1) - 1, 0, len(levels) - 2)
        low, high = (np.take_along_axis(values, (left + side)[..., None], -1)[..., 0] for side in (0, 1))
        part = (value - low) / np.maximum(high - low, 1e-12)
        inside = levels[left] + np.clip(part, 0, 1) * (levels[left + 1] - levels[left])
        tails = [np.maximum(tail, 1e-12) for tail in self._tails()]
        below = levels[0] * np.exp(np.minimum(value - values[..., 0], 0) / tails[0])
        above = 1 - (1 - levels[-1]) * np.exp(-np.maximum(value - values[..., -1], 0) / tails[1])
        probability: Numbers = np.where(value < values[..., 0], below, np.where(value > values[..., -1], above, inside))
        return probability


def _log_where(condition: NDArray[np.bool_], x: Numbers) -> Numbers:
    """Return the logarithm of `x` where the condition is true, and 0 elsewhere."""
    return np.log(x, out=np.zeros(x.shape), where=condition)


def anomaly_scores(distribution: Distribution, values: Numbers) -> Numbers:
    """Return a score (n,) per row of values (n, T): 0 for the median, near 1 for unlikely values, NaN without values.

    The score of one value is the probability of values nearer to the median, |2 F(x) - 1|, which is uniform over [0, 1]
    if the forecast is right. The score of T values is the largest of theirs to the power of T, which is uniform too if
    they are independent.
    """
    tails = np.abs(2 * distribution.probability(np.nan_to_num(values)) - 1)
    present = ~np.isnan(values)
    count = present.sum(-1)
    largest = np.where(present, tails, 0.0).max(-1)
    return np.where(count > 0, largest ** np.maximum(count, 1), np.nan)
