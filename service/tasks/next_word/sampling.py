"""How a next token is chosen from a row of logits.

In NumPy: for the tens of microseconds that one row takes, torch needs longer to call its operators than they run.
"""

from math import nextafter

import numpy as np
from numpy.typing import NDArray

from service.domain.operations import GenerateOptions

#: Weights are added up by so many first: a running total of doubles over a whole vocabulary takes as long as the rest.
WIDTH = 100
TINY = float(np.finfo(np.float32).tiny)

Logits = NDArray[np.float32]


class Sampler:
    """Chooses tokens by temperature, top-k and nucleus sampling, with a random stream of its own.

    Nucleus sampling: A. Holtzman et al., "The curious case of neural text degeneration" (ICLR 2020).
    """

    def __init__(self, options: GenerateOptions) -> None:
        self._options = options
        self._temperature = np.float32(max(options.temperature, TINY))
        self._chance = np.random.Generator(np.random.PCG64(options.seed))

    def choose(self, logits: Logits, forbidden: NDArray[np.int64]) -> int:
        """Return the chosen id from `logits` (vocabulary,), never one of `forbidden`."""
        allowed = logits.copy()
        allowed[forbidden] = -np.inf
        return int(allowed.argmax()) if self._options.temperature == 0 else self._draw(self._weights(allowed))

    def _weights(self, logits: Logits) -> Logits:
        """Return what each is worth, the largest 1, in the place of `logits`; 0 outside of top-k and nucleus."""
        # Against the largest, so that no temperature, however low, overflows.
        logits -= logits.max()
        if self._temperature != 1.0:
            logits /= self._temperature
        weights: Logits = np.exp(logits, out=logits)
        top_k, top_p = self._options.top_k, self._options.top_p
        if top_k is not None and top_k < len(weights):
            _keep(weights, top_k, np.partition(weights, -top_k)[-top_k])
        if top_p is not None:
            ordered = np.sort(weights)[::-1]
            up_to = _running_total(ordered)
            last = min(int(up_to.searchsorted(top_p * up_to[-1])), len(weights) - 1)
            _keep(weights, last + 1, ordered[last])
        return weights

    def _draw(self, weights: Logits) -> int:
        """Draw a place by its weight: inverse transform sampling in the order of ids, which no rounding changes."""
        heights = _running_total(np.add.reduceat(weights, np.arange(0, len(weights), WIDTH)))
        drawn = heights[-1] * self._chance.random()
        block = _draw_index(heights, drawn)
        before = heights[block - 1] if block else 0.0
        inside = _running_total(weights[block * WIDTH : (block + 1) * WIDTH])
        return block * WIDTH + _draw_index(inside, drawn - before)


def _keep(weights: Logits, count: int, least: np.float32) -> None:
    """Leave the `count` greatest weights, down to `least`; of equals the first."""
    equals = np.flatnonzero(weights == least)
    weights[equals[count - np.count_nonzero(weights > least) :]] = 0.0
    weights *= weights >= least


def _running_total(weights: Logits) -> NDArray[np.float64]:
    """Return the running total, in doubles: converted first, for `cumsum(dtype=...)` takes twice the time."""
    return np.add.accumulate(weights.astype(np.float64))


def _draw_index(heights: NDArray[np.float64], drawn: float) -> int:
    """Return the first place whose height is above `drawn`, which rounding may have lifted to the top."""
    return int(heights[:-1].searchsorted(min(drawn, nextafter(heights[-1], 0.0)), side="right"))
