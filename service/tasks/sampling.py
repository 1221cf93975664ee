"""How a next token is chosen from a row of logits."""

import torch
from torch import Tensor

from service.types import GenerateOptions


class Sampler:
    """Chooses tokens by temperature, top-k and nucleus sampling, with a random stream of its own.

    Nucleus sampling: A. Holtzman et al., "The curious case of neural text degeneration" (ICLR 2020).
    """

    def __init__(self, options: GenerateOptions) -> None:
        self._options = options
        self._generator = torch.Generator()
        if options.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(options.seed)

    def choose(self, logits: Tensor, forbidden: list[int]) -> int:
        """Return the chosen id from `logits` (vocabulary,), never one of `forbidden`."""
        logits = logits.float().index_fill(0, torch.tensor(forbidden, dtype=torch.long), -torch.inf)
        if self._options.temperature == 0:
            return int(logits.argmax())
        if self._options.top_k is None or self._options.top_k >= len(logits):
            return self._draw(self._weights(logits))
        ids = logits.topk(self._options.top_k).indices.sort().values
        return int(ids[self._draw(self._weights(logits[ids]))])

    def _weights(self, logits: Tensor) -> Tensor:
        """Return what each is worth, the largest 1; outside the nucleus 0."""
        # Against the largest, so that no temperature, however low, overflows.
        weights = ((logits - logits.max()).double() / self._options.temperature).exp()
        if self._options.top_p is not None:
            ordered, order = weights.sort(descending=True, stable=True)
            before = ordered.cumsum(0) - ordered
            weights[order[before >= self._options.top_p * ordered.sum()]] = 0.0
        return weights

    def _draw(self, weights: Tensor) -> int:
        """Draw a place by its weight: inverse transform sampling in the order of ids, which no rounding changes."""
        heights = weights.cumsum(0)
        total = heights[-1]
        drawn = torch.rand((), dtype=torch.float64, generator=self._generator) * total
        below_the_top = torch.nextafter(total, torch.zeros_like(total))
        return int(torch.searchsorted(heights, torch.minimum(drawn, below_the_top), right=True))
