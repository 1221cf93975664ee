"""Sampling of the next token from the logits of one row.

This is NumPy code, because one row takes some tens of microseconds, less than the overhead of torch's operators.
"""

from math import nextafter

import numpy as np
from numpy.typing import NDArray

from service.domain.operations import GenerateOptions

#: The block size of the cumulative sums. A single sum over the whole vocabulary would double the time of a choice.
BLOCK_SIZE = 100
TINY = float(np.finfo(np.float32).tiny)

Logits = NDArray[np.float32]


class Sampler:
    """Sampler with temperature, top-k and nucleus sampling, and its own random generator.

    Nucleus sampling: A. Holtzman et al., "The curious case of neural text degeneration" (ICLR 2020).
    """

    def __init__(self, options: GenerateOptions) -> None:
        self._options = options
        self._temperature = np.float32(max(options.temperature, TINY))
        self._random = np.random.Generator(np.random.PCG64(options.seed))

    def choose(self, logits: Logits, forbidden: NDArray[np.int64]) -> int:
        """Return the id of the next token, given `logits` (V,); an id of `forbidden` is never chosen.

        At temperature 0 it is the most probable token, of equal ones the first.
        """
        allowed = logits.copy()
        allowed[forbidden] = -np.inf
        return int(allowed.argmax()) if self._options.temperature == 0 else self._draw(self._weights(allowed))

    def _weights(self, logits: Logits) -> Logits:
        """Return weights whose maximum is 1, and which are 0 outside of top-k and nucleus. Overwrites `logits`."""
        # The maximum is subtracted first, so that no temperature, however low, overflows.
        logits -= logits.max()
        if self._temperature != 1.0:
            logits /= self._temperature
        weights: Logits = np.exp(logits, out=logits)
        top_k, top_p = self._options.top_k, self._options.top_p
        if top_k is not None and top_k < len(weights):
            _keep_largest(weights, top_k, np.partition(weights, -top_k)[-top_k])
        if top_p is not None:
            descending = np.sort(weights)[::-1]
            cumulative = _cumulative_sum(descending)
            last = min(int(cumulative.searchsorted(top_p * cumulative[-1])), len(weights) - 1)
            _keep_largest(weights, last + 1, descending[last])
        return weights

    def _draw(self, weights: Logits) -> int:
        """Draw an index by its weight: inverse transform sampling in the order of ids, which no rounding changes."""
        block_ends = _cumulative_sum(np.add.reduceat(weights, np.arange(0, len(weights), BLOCK_SIZE)))
        drawn = block_ends[-1] * self._random.random()
        block = _index_of(block_ends, drawn)
        block_start = block_ends[block - 1] if block else 0.0
        cumulative = _cumulative_sum(weights[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE])
        return block * BLOCK_SIZE + _index_of(cumulative, drawn - block_start)


def _keep_largest(weights: Logits, count: int, minimum: np.float32) -> None:
    """Set all but the `count` largest weights to 0, of equal ones the last; `minimum` is the smallest one to keep."""
    equal = np.flatnonzero(weights == minimum)
    weights[equal[count - np.count_nonzero(weights > minimum) :]] = 0.0
    weights *= weights >= minimum


def _cumulative_sum(weights: Logits) -> NDArray[np.float64]:
    """Return the cumulative sum in float64. Converting first is twice as fast as `cumsum(dtype=...)`."""
    return np.add.accumulate(weights.astype(np.float64))


def _index_of(cumulative: NDArray[np.float64], drawn: float) -> int:
    """Return the first index whose cumulative sum is above `drawn`, even if `drawn` was rounded up to the total."""
    return int(cumulative[:-1].searchsorted(min(drawn, nextafter(cumulative[-1], 0.0)), side="right"))
