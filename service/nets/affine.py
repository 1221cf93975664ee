"""A linear layer without initial weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Affine(nn.Module):
    """`nn.Linear` under the same names, uninitialised: on the meta device, its random weights load a compiler."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., I) -> (..., O)."""
        return F.linear(x, self.weight, self.bias)
