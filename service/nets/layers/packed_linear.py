"""Matrix products whose weights are laid out once, when a network is loaded: x (..., I) -> x W^T + b (..., O).

`F.linear` on a weight as it comes from a file packs it again at every call. Whatever the arithmetic of the product,
float32 goes in and comes out; `reduced.py` has those other than float32.
"""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.operations import ComputeDtype
from service.nets.layers.reduced_precision import bfloat16_product, int8_product, quantize_rows

#: Weights of at least as many numbers are packed for oneDNN, whose calls cost 50 microseconds beside their work.
MIN_PACKED_SIZE = 2**20


class PackedMatmul(Protocol):
    """A weight (O, I), laid out for products, and its bias."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return x W^T + b, a tensor of its own: (..., I) -> (..., O)."""

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        """Return base + x W^T, without the bias, a tensor of its own: (B, O), (B, I) -> (B, O)."""


def pack(weight: Tensor, bias: Tensor | None, arithmetic: ComputeDtype) -> PackedMatmul:
    """Lay out a weight (O, I) with its bias (O,), float32 both."""
    if arithmetic == "bfloat16":
        return bfloat16_product(weight, bias)
    if arithmetic == "int8":
        return int8_product(weight, bias)
    return pack_float32(weight, bias)


def pack_float32(weight: Tensor, bias: Tensor | None) -> "Float32Linear":
    """Do so for products in float32."""
    one_dnn = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return OneDnnLinear(weight, bias) if one_dnn and weight.numel() >= MIN_PACKED_SIZE else Float32Linear(weight, bias)


class Packable(nn.Module, ABC):
    """A part of a network with weights: parameters until a state dict is loaded into them, then packed."""

    @abstractmethod
    def pack(self, arithmetic: ComputeDtype) -> None:
        """Pack the weights, which are no parameters any more. Before that the part does not run."""


def pack_all(network: nn.Module, arithmetic: ComputeDtype) -> None:
    """Pack all parts of a network whose weights are loaded."""
    for part in [*network.modules()]:
        if isinstance(part, Packable):
            part.pack(arithmetic)


class Float32Linear:
    """float32 by torch's own product, the weight lying in memory as (I, O), which that reads fastest."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self._bias = weight.T.contiguous().T, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self._bias)

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        return torch.addmm(base, x, self.weight.T)

    def columns(self, start: int, stop: int | None, bias: Tensor | None) -> "Float32Linear":
        """Return the product of some columns of the weight, which is not copied for it."""
        return Float32Linear(self.weight[:, start:stop], bias)


class OneDnnLinear(Float32Linear):
    """float32 by oneDNN; single rows, whose time is that of reading the weight, by torch's own product."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[:-1].numel() == 1:
            return super().__call__(x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return product

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        if len(x) == 1:
            return super().onto(base, x)
        sums: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, base, self._packed, None, "add")
        return sums


class RowScorer:
    """Single results of a product, from the same rounded numbers: ids (B,), x (B, I) -> (x W^T + b)[b, ids[b]]."""

    def __init__(self, product: PackedMatmul, weight: Tensor, bias: Tensor, arithmetic: ComputeDtype) -> None:
        self._bias, self._scales = bias, None
        self._weight = product.weight if isinstance(product, Float32Linear) else weight
        if arithmetic == "bfloat16":
            self._weight = weight.bfloat16()
        elif arithmetic == "int8":
            self._weight, self._scales = quantize_rows(weight)

    def __call__(self, ids: Tensor, x: Tensor) -> Tensor:
        weight = self._weight[ids].float()
        if self._scales is None:
            return (weight * x).sum(-1) + self._bias[ids]
        rows, scales = quantize_rows(x)
        sums = (weight * rows.float()).sum(-1) * self._scales[ids, 0]
        return sums * scales[:, 0] + self._bias[ids]
