"""Feed-forward layers without initial weights: torch's random initialisation loads a compiler on the meta device."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.operations import ComputeDtype
from service.nets.config.sections import HeadLayerConfig
from service.nets.layers.packed_linear import Packable, PackedMatmul, RowScorer, pack

#: The widest vector loop of torch. The remainder of a row is computed by other instructions.
VECTOR_SIZE = 64


def apply_by_row(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply an elementwise function to rows (..., N), so that each result is bitwise independent of the other rows."""
    width = x.shape[-1]
    return function(F.pad(x, (0, -width % VECTOR_SIZE)))[..., :width]


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": lambda x: apply_by_row(torch.sigmoid, x),
    "gelu": lambda x: apply_by_row(F.gelu, x),
}


class Linear(Packable):
    """`nn.Linear` with the same parameter names, uninitialised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self._product: PackedMatmul

    def pack(self, dtype: ComputeDtype) -> None:
        self._product = pack(self.weight, self.bias, dtype)
        del self.weight, self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        return self._product(x)


class Head(nn.ModuleList):
    """Linear layers, each followed by an activation, over `inputs` numbers; parameters are `{i}.weight/bias`."""

    def __init__(self, inputs: int, layers: Sequence[HeadLayerConfig]) -> None:
        sizes = [inputs, *(layer.size for layer in layers)]
        super().__init__(Linear(a, b) for a, b in pairwise(sizes))
        self._activations = [ACTIVATIONS[layer.activation] for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        for linear, activation in zip(self, self._activations, strict=True):
            x = activation(linear(x))
        return x


class EmbeddingTable(nn.Module):
    """The weight of an embedding or of a linear layer without bias; uninitialised."""

    def __init__(self, entries: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, size))


class Output(Packable):
    """Output layer that maps features to a logit per vocabulary entry; the weight is its own, or that of `tied`."""

    def __init__(self, vocabulary: int, features: int, tied: EmbeddingTable | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, features)) if tied is None else None
        self.bias = nn.Parameter(torch.empty(vocabulary))
        self._tied = (tied,)  # in a tuple, so that it does not become a submodule
        self._product: PackedMatmul

    def pack(self, dtype: ComputeDtype) -> None:
        self._product = pack(self._matrix(), self.bias, dtype)
        del self.weight, self.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return (..., F) -> (..., V)."""
        return self._product(features)

    def _matrix(self) -> Tensor:
        (tied,) = self._tied
        matrix = self.weight if tied is None else tied.weight
        assert matrix is not None  # noqa: S101 one of the two exists; this is for the type checker
        return matrix


class ScoringOutput(Output):
    """Output layer that also computes single logits, from the same rounded weights."""

    def __init__(self, vocabulary: int, features: int, tied: EmbeddingTable | None) -> None:
        super().__init__(vocabulary, features, tied)
        self._rows: RowScorer

    def pack(self, dtype: ComputeDtype) -> None:
        weight, bias = self._matrix(), self.bias
        super().pack(dtype)
        self._rows = RowScorer(self._product, weight, bias, dtype)

    def score(self, ids: Tensor, features: Tensor) -> Tensor:
        """Return the logit of one entry per row: ids (B,), features (B, F) -> (B,)."""
        return self._rows(ids, features)
