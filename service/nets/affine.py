"""Plain layers without initial weights: on the meta device, torch's own random ones load a compiler."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.nets.sections import HeadLayer

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
}


class Affine(nn.Module):
    """`nn.Linear` under the same names, uninitialised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        return F.linear(x, self.weight, self.bias)


class Head(nn.ModuleList):
    """Linear layers with an activation behind each, over `inputs` numbers; parameters are `{i}.weight/bias`."""

    def __init__(self, inputs: int, layers: Sequence[HeadLayer]) -> None:
        sizes = [inputs, *(layer.size for layer in layers)]
        super().__init__(Affine(a, b) for a, b in pairwise(sizes))
        self._activations = [ACTIVATIONS[layer.activation] for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        for linear, activation in zip(self, self._activations, strict=True):
            x = activation(linear(x))
        return x


class Table(nn.Module):
    """The weight of an embedding, or of a product without bias; uninitialised."""

    def __init__(self, entries: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, size))


class Output(nn.Module):
    """The parameters of the output layer; without a weight when that is the embedding's."""

    def __init__(self, vocabulary: int, features: int | None) -> None:
        super().__init__()
        self.weight = None if features is None else nn.Parameter(torch.empty(vocabulary, features))
        self.bias = nn.Parameter(torch.empty(vocabulary))
