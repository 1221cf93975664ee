"""Predictive distributions as numbers: means, quantiles and probabilities of a forecast, in scaled units.

Between its levels a quantile forecast is a straight line; outside, an exponential tail through the two outermost
levels (Y. Park et al., "Learning quantile functions without quantile crossing for distribution-free time series
forecasting", 2022).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers = NDArray[np.float64]
#: Closer to 0 and 1 nothing is drawn: a uniform of exactly 0 would be an infinite number.
EDGE = 1e-6
#: Closer to 0 no quantile of a Student-t is told: scipy's is infinite from about 1e-300 on.
MIN_TAIL_PROBABILITY = 1e-100


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distributions of any number of values: `parameters` (..., P), as `nets.Forecaster` gives them.

    `kind` is point, gaussian, student_t or quantiles; `levels` (P,) belong to quantiles.
    """

    kind: str
    parameters: Numbers
    levels: Numbers

    def at(self, index: int | slice) -> "Distribution":
        """Return the part at `index` of the first dimension."""
        return Distribution(self.kind, self.parameters[index], self.levels)

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
        """Return the values below which lies `probability`, inside (0, 1), broadcast to (...)."""
        if self.kind == "point":
            raise ValueError("a point forecast has no quantiles")
        if self.kind == "quantiles":
            return self._quantile(np.broadcast_to(probability, np.broadcast_shapes(probability.shape, self._shape)))
        location, scale = self.parameters[..., 0], self.parameters[..., 1]
        standard = (
            special.ndtri(probability)
            if self.kind == "gaussian"
            else special.stdtrit(self.parameters[..., 2], np.maximum(probability, MIN_TAIL_PROBABILITY))
        )
        found: Numbers = location + scale * standard
        return found

    def probability(self, value: Numbers) -> Numbers:
        """Return the probability of at most `value` (...): the distribution function."""
        if self.kind == "point":
            raise ValueError("a point forecast has no probabilities")
        if self.kind == "quantiles":
            return self._probability(value)
        standard = (value - self.parameters[..., 0]) / self.parameters[..., 1]
        found: Numbers = (
            special.ndtr(standard) if self.kind == "gaussian" else special.stdtr(self.parameters[..., 2], standard)
        )
        return found

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
        values, levels = np.broadcast_to(self.parameters, (*probability.shape, len(self.levels))), self.levels
        left = np.clip(np.searchsorted(levels, probability, side="right") - 1, 0, len(levels) - 2)
        low, high = (np.take_along_axis(values, (left + side)[..., None], -1)[..., 0] for side in (0, 1))
        part = (probability - levels[left]) / (levels[left + 1] - levels[left])
        inside = low + (high - low) * part
        tails = self._tails()
        below = values[..., 0] + tails[0] * np.log(np.minimum(probability / levels[0], 1.0))
        above = values[..., -1] - tails[1] * np.log(np.minimum((1 - probability) / (1 - levels[-1]), 1.0))
        return np.where(probability < levels[0], below, np.where(probability > levels[-1], above, inside))

    def _probability(self, value: Numbers) -> Numbers:
        values, levels = self.parameters, self.levels
        left = np.clip((values <= value[..., None]).sum(-1) - 1, 0, len(levels) - 2)
        low, high = (np.take_along_axis(values, (left + side)[..., None], -1)[..., 0] for side in (0, 1))
        part = (value - low) / np.maximum(high - low, 1e-12)
        inside = levels[left] + np.clip(part, 0, 1) * (levels[left + 1] - levels[left])
        tails = [np.maximum(tail, 1e-12) for tail in self._tails()]
        below = levels[0] * np.exp(np.minimum(value - values[..., 0], 0) / tails[0])
        above = 1 - (1 - levels[-1]) * np.exp(-np.maximum(value - values[..., -1], 0) / tails[1])
        found: Numbers = np.where(value < values[..., 0], below, np.where(value > values[..., -1], above, inside))
        return found


def anomaly_scores(distribution: Distribution, values: Numbers) -> Numbers:
    """Return one score per row of values (n, T), NaN where all are missing: 0 for the median, near 1 for the unlikely.

    A value's score is the probability of one nearer to the median, |2 F(x) - 1|, uniform over [0, 1] where the forecast
    is right. Of T values the largest counts, to the power of T: what it would be for one value, were they independent.
    """
    tails = np.abs(2 * distribution.probability(np.nan_to_num(values)) - 1)
    present = ~np.isnan(values)
    count = present.sum(-1)
    largest = np.where(present, tails, 0.0).max(-1)
    return np.where(count > 0, largest ** np.maximum(count, 1), np.nan)


def rounded(numbers: Numbers, scale: Numbers) -> Numbers:
    """Round to seven significant digits, all that float32 has, of a number or of its `scale`, whichever is smaller.

    The network computes scaled numbers: far from zero, seven digits in units would be fewer than it told.
    """
    size = np.minimum(np.abs(numbers), scale)
    exponent = np.floor(np.log10(np.where(size == 0, scale, size))) - 6
    # A power of ten is exact up to 1e22, so that the quotient is the double nearest to the decimal.
    large, small = 10.0 ** np.clip(exponent, 0, 22), 10.0 ** np.clip(-exponent, 0, 22)
    found: Numbers = np.round(numbers / large * small) / small * large
    return found
