"""Plain layers without initial weights: on the meta device, torch's own random ones load a compiler."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.operations import ComputeDtype
from service.nets.config.sections import HeadLayerConfig
from service.nets.layers.packed_linear import Packable, PackedMatmul, RowScorer, pack

#: Numbers that torch's loops take at a time, at most; what is left over they compute by other instructions.
LANES = 64


def in_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply an elementwise function to rows (..., N), each to the same last bit whatever other rows there are."""
    width = x.shape[-1]
    return function(F.pad(x, (0, -width % LANES)))[..., :width]


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": lambda x: in_rows(torch.sigmoid, x),
    "gelu": lambda x: in_rows(F.gelu, x),
}


class Linear(Packable):
    """`nn.Linear` under the same names, uninitialised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self._product: PackedMatmul

    def pack(self, arithmetic: ComputeDtype) -> None:
        self._product = pack(self.weight, self.bias, arithmetic)
        del self.weight, self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        return self._product(x)


class Head(nn.ModuleList):
    """Linear layers with an activation behind each, over `inputs` numbers; parameters are `{i}.weight/bias`."""

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
    """The weight of an embedding, or of a product without bias; uninitialised."""

    def __init__(self, entries: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, size))


class Output(Packable):
    """The output layer, features -> one logit per entry; the weight is its own, or that of `tied`."""

    def __init__(self, vocabulary: int, features: int, tied: EmbeddingTable | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, features)) if tied is None else None
        self.bias = nn.Parameter(torch.empty(vocabulary))
        self._tied = (tied,)  # in a tuple, lest it become a part of this one
        self._product: PackedMatmul

    def pack(self, arithmetic: ComputeDtype) -> None:
        self._product = pack(self._matrix(), self.bias, arithmetic)
        del self.weight, self.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return (..., F) -> (..., V)."""
        return self._product(features)

    def _matrix(self) -> Tensor:
        (tied,) = self._tied
        matrix = self.weight if tied is None else tied.weight
        assert matrix is not None  # noqa: S101 one of the two is there; this is for the type checker
        return matrix


class ScoringOutput(Output):
    """An output layer that can compute single logits as well, from the same rounded numbers."""

    def __init__(self, vocabulary: int, features: int, tied: EmbeddingTable | None) -> None:
        super().__init__(vocabulary, features, tied)
        self._rows: RowScorer

    def pack(self, arithmetic: ComputeDtype) -> None:
        weight, bias = self._matrix(), self.bias
        super().pack(arithmetic)
        self._rows = RowScorer(self._product, weight, bias, arithmetic)

    def score(self, ids: Tensor, features: Tensor) -> Tensor:
        """Return the logit of one entry per row: ids (B,), features (B, F) -> (B,)."""
        return self._rows(ids, features)
