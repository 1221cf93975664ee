"""Linear layers whose weights are packed once, when a network is loaded: x (..., I) -> x W^T + b (..., O).

`F.linear` packs an ordinary weight again at every call. Inputs and outputs are float32 in every compute dtype. The
modules `float32_linear` and `reduced_precision` have the products of each dtype.
"""

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from service.domain.operations import ComputeDtype
from service.nets.layers.float32_linear import Float32Linear, pack_float32
from service.nets.layers.reduced_precision import bfloat16_product, int8_product, quantize_rows


class PackedMatmul(Protocol):
    """A packed weight (O, I) and its bias (O,) or None. Results are new tensors."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return x W^T + b: (..., I) -> (..., O)."""

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        """Return base + x W^T, without the bias: (B, O), (B, I) -> (B, O)."""


def pack(weight: Tensor, bias: Tensor | None, dtype: ComputeDtype) -> PackedMatmul:
    """Pack a float32 weight (O, I) and its bias (O,) for products in `dtype`."""
    if dtype == "bfloat16":
        return bfloat16_product(weight, bias)
    if dtype == "int8":
        return int8_product(weight, bias)
    return pack_float32(weight, bias)


class Packable(nn.Module, ABC):
    """A module whose weights are parameters until a state dict is loaded, and are packed then."""

    @abstractmethod
    def pack(self, dtype: ComputeDtype) -> None:
        """Pack the weights and delete the parameters. The module runs only after this call."""


def pack_all(network: nn.Module, dtype: ComputeDtype) -> None:
    """Pack every `Packable` module of a network whose weights are loaded."""
    for module in [*network.modules()]:
        if isinstance(module, Packable):
            module.pack(dtype)


class RowScorer:
    """Single results of a packed product, from the same weights: ids (B,), x (B, I) -> (x W^T + b)[b, ids[b]]."""

    def __init__(self, product: PackedMatmul, weight: Tensor, bias: Tensor, dtype: ComputeDtype) -> None:
        self._bias, self._scales = bias, None
        self._weight = product.weight if isinstance(product, Float32Linear) else weight
        if dtype == "bfloat16":
            self._weight = weight.bfloat16()
        elif dtype == "int8":
            self._weight, self._scales = quantize_rows(weight)

    def __call__(self, ids: Tensor, x: Tensor) -> Tensor:
        weight = self._weight[ids].float()
        if self._scales is None:
            return (weight * x).sum(-1) + self._bias[ids]
        rows, scales = quantize_rows(x)
        sums = (weight * rows.float()).sum(-1) * self._scales[ids, 0]
        return sums * scales[:, 0] + self._bias[ids]
