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
        values, ids = logits.sort(descending=True, stable=True)
        # Against the largest, so that no temperature, however low, overflows.
        scaled = (values[: self._options.top_k].double() - values[0]) / self._options.temperature
        probabilities = scaled.softmax(0)
        if self._options.top_p is not None:
            before = probabilities.cumsum(0) - probabilities
            probabilities = probabilities.where(before < self._options.top_p, 0.0)
        return int(ids[torch.multinomial(probabilities, 1, generator=self._generator)])
