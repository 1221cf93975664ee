"""How far two right computations of the same numbers can lie apart: what tests compare floating-point numbers within.

The order of a sum, and whether a product is rounded before it is added, differ between processors, batch sizes and
libraries. `bound` says what that can do:

- One operation rounds by at most half of eps, relative to its result, up or down. A sum of n products has about n such
  errors, relative to S, the sum of the products' absolute values. They rarely point the same way: as in a random walk
  they add up to some sqrt(n), hardly ever to n, times eps / 2 times S. (N. Higham, T. Mary: A new approach to
  probabilistic rounding error analysis, SIAM J. Sci. Comput. 41, 2019.)
- A function such as tanh, a gate, a normalisation or a connection adds some roundings of its own, counted as
  ELEMENTWISE terms more.
- In a recurrent network a number stands behind one such sum for each layer at each timestep: `passes` of them. Errors
  are handed on from one to the next, but do not grow beside the numbers: slopes of gates and activations are at most 1,
  the tests' weights are small, and where a network without saturation grows, its numbers grow alike. So there are
  passes * n errors, and they add up as those of one sum do.
- S is taken for the largest number that is compared, and at least 1, the size of the inputs.

That gives eps * sqrt(passes * n) * size; the factor ROOM covers walks that end far out, and the S of sums that cancel.
It holds for whatever processor computes. A gate in another place, a bias that is left out or a connection that is
skipped exceeds it a hundred times, see tests/integration/nets/test_rounding.py.

What the product promises of its answers is wider, and named here as well.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.model_folder.safetensors_io import read_tensor_file

ELEMENTWISE = 8
ROOM = 4
#: Promised of probabilities, of logits and log-probabilities, and of forecasts in units of their scale.
PROBABILITY, LOGIT, FORECAST = 1e-5, 1e-4, 1e-5


def bound(size: float, terms: int, passes: int = 1, dtype: torch.dtype = torch.float32) -> float:
    """Return how far numbers of this size may lie apart, which come of `passes` sums of `terms` products."""
    return ROOM * torch.finfo(dtype).eps * math.sqrt(passes * (terms + ELEMENTWISE)) * max(1.0, size)


def assert_rounded(found: Tensor, expected: Tensor, terms: int, passes: int = 1, name: str = "") -> None:
    """Both hold the same numbers, but for the rounding of as many sums of as many products."""
    allowed = bound(float(expected.abs().max()), terms, passes)
    torch.testing.assert_close(found, expected, atol=allowed, rtol=0, msg=lambda text: f"{name} {text}")


def largest_golden(folder: Path) -> float:
    """Return the largest number that the golden vectors of a model folder expect."""
    tensors = read_tensor_file(folder / "golden.safetensors").tensors
    return max(float(one.tensor().abs().max()) for name, one in tensors.items() if not name.startswith("inputs."))


def same_answer(found: Any, expected: Any, name: str = "") -> bool:
    """Whether two answers of a language or translation model are the same, within what is promised of each number."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same_answer(found[key], expected[key], key) for key in expected)
    if isinstance(expected, list):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(same_answer(*pair, name) for pair in pairs)
    if not isinstance(expected, float):
        return bool(found == expected)
    probability = name in {"probability", "attention"}
    # Sums of log-probabilities, and a perplexity, are as far off for their size.
    return isinstance(found, float) and abs(found - expected) <= (
        PROBABILITY if probability else LOGIT * max(1.0, abs(expected))
    )
