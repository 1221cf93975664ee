"""Sampling of the next tokens from rows of logits, all rows at once.

A token depends on its own row and sampler only, bit for bit: whatever is computed for several rows treats each alike.
This is NumPy code, which treats a few rows faster than torch does.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.operations import GenerateOptions

#: The block size of the cumulative sums. A single sum over the whole vocabulary would double the time of a choice.
BLOCK_SIZE = 100
TINY = float(np.finfo(np.float32).tiny)

Logits = NDArray[np.float32]
Numbers = NDArray[np.float64]


class Sampler:
    """Sampler with temperature, top-k and nucleus sampling, and its own random generator.

    `uniform` is the random number in [0, 1) of the next token. Nucleus sampling: A. Holtzman et al., "The curious case
    of neural text degeneration" (ICLR 2020).
    """

    def __init__(self, options: GenerateOptions) -> None:
        self.greedy = options.temperature == 0
        self.temperature = np.float32(max(options.temperature, TINY))
        self._options = options
        self._random = np.random.Generator(np.random.PCG64(options.seed))
        self.uniform = self._random.random()

    def is_plain(self, vocabulary: int) -> bool:
        """Return True if the tokens of a vocabulary of this size are drawn with the probabilities of the model."""
        top_k, top_p = self._options.top_k, self._options.top_p
        every_token = (top_k is None or top_k >= vocabulary) and (top_p is None or top_p == 1)
        return every_token and self._options.temperature == 1

    def advance(self) -> None:
        """Draw the random number of the token after the next one."""
        self.uniform = self._random.random()

    def filter(self, weights: Logits) -> None:
        """Set the weights (V,) outside of top-k and nucleus to 0."""
        top_k, top_p = self._options.top_k, self._options.top_p
        if top_k is not None and top_k < len(weights):
            _keep_largest(weights, top_k, np.partition(weights, -top_k)[-top_k])
        if top_p is not None:
            descending = np.sort(weights)[::-1]
            cumulative = _cumulative_sums(descending)
            last = min(int(cumulative.searchsorted(top_p * cumulative[-1])), len(weights) - 1)
            _keep_largest(weights, last + 1, descending[last])


def most_probable_tokens(logits: Logits, forbidden: NDArray[np.int64]) -> list[int]:
    """Return the id of the most probable token of each row of `logits` (n, V), of equal ones the first.

    An id of `forbidden` is never chosen. The logits are overwritten.
    """
    logits[:, forbidden] = -np.inf
    ids: list[int] = logits.argmax(1).tolist()
    return ids


def draw_tokens(samplers: Sequence[Sampler], logits: Logits, forbidden: NDArray[np.int64]) -> list[int]:
    """Draw the id of the next token for each row of `logits` (n, V).

    An id of `forbidden` is never chosen. The logits are overwritten.
    """
    logits[:, forbidden] = -np.inf
    _subtract_maximum(logits)
    with np.errstate(over="ignore"):  # the weight of a quotient of minus infinity is 0
        logits /= np.array([sampler.temperature for sampler in samplers])[:, None]
    weights = np.exp(logits, out=logits)
    for sampler, own in zip(samplers, weights, strict=True):
        sampler.filter(own)
    ids: list[int] = _draw(samplers, weights, _block_ends(weights)).tolist()
    return ids


def draw_plain_tokens(
    samplers: Sequence[Sampler], logits: Logits, forbidden: NDArray[np.int64]
) -> tuple[list[int], Numbers]:
    """Return what `draw_tokens` returns for plain samplers, and the normalisers (n,) of the rows.

    Drawing adds up the exponentials of the logits anyway. A normaliser is the logarithm of the sum of the exponentials
    of all logits of a row, the forbidden ones too.
    """
    hidden = logits[:, forbidden].astype(np.float64)
    logits[:, forbidden] = -np.inf
    maximum = _subtract_maximum(logits)
    weights = np.exp(logits, out=logits)
    ends = _block_ends(weights)
    ids: list[int] = _draw(samplers, weights, ends).tolist()
    allowed = maximum.astype(np.float64) + np.log(ends[:, -1:])
    return ids, np.logaddexp.reduce(np.concatenate([allowed, hidden], axis=1), axis=1)


def _subtract_maximum(logits: Logits) -> Logits:
    """Subtract the maximum of each row, so that no temperature, however low, overflows. Return the maxima (n, 1)."""
    maximum: Logits = logits.max(1, keepdims=True)
    logits -= maximum
    return maximum


def _block_ends(weights: Logits) -> Numbers:
    """Return the cumulative sums of weights (n, V) at the ends of their blocks."""
    return _cumulative_sums(np.add.reduceat(weights, np.arange(0, weights.shape[1], BLOCK_SIZE), axis=1))


def _draw(samplers: Sequence[Sampler], weights: Logits, block_ends: Numbers) -> NDArray[np.int64]:
    """Draw an index of each row of weights (n, V): inverse transform sampling in the order of ids."""
    rows = np.arange(len(weights))
    thresholds = block_ends[:, -1] * np.array([sampler.uniform for sampler in samplers])
    blocks = _indices_of(block_ends, thresholds)
    starts = np.where(blocks > 0, block_ends[rows, blocks - 1], 0.0)
    positions = blocks[:, None] * BLOCK_SIZE + np.arange(BLOCK_SIZE)
    own = weights[rows[:, None], np.minimum(positions, weights.shape[1] - 1)]
    own[positions >= weights.shape[1]] = 0.0
    return blocks * BLOCK_SIZE + _indices_of(_cumulative_sums(own), thresholds - starts)


def _keep_largest(weights: Logits, count: int, minimum: np.float32) -> None:
    """Set all but the `count` largest weights to 0, of equal ones the last; `minimum` is the smallest one to keep."""
    equal = np.flatnonzero(weights == minimum)
    weights[equal[count - np.count_nonzero(weights > minimum) :]] = 0.0
    weights *= weights >= minimum


def _cumulative_sums(weights: Logits) -> Numbers:
    """Return cumulative sums (..., V) in float64. Converting first is twice as fast as `cumsum(dtype=...)`."""
    return np.add.accumulate(weights.astype(np.float64), axis=-1)


def _indices_of(cumulative: Numbers, thresholds: Numbers) -> NDArray[np.int64]:
    """Return the first index of each row whose cumulative sum is above the threshold.

    It is an index with a weight even if the threshold was rounded up to the total.
    """
    below_total = np.minimum(thresholds, np.nextafter(cumulative[:, -1], 0.0))
    indices: NDArray[np.int64] = np.count_nonzero(cumulative[:, :-1] <= below_total[:, None], axis=1)
    return indices
