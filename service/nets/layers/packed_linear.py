"""Linear layers whose weights are packed once, when a network is loaded: x (..., I) -> x W^T + b (..., O).

`F.linear` packs an ordinary weight again at every call. Inputs and outputs are float32 in every compute dtype; the
module `reduced_precision` has the dtypes other than float32.
"""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.domain.operations import ComputeDtype
from service.nets.layers.reduced_precision import bfloat16_product, int8_product, quantize_rows

#: Smaller weights are not packed for oneDNN, whose calls have an overhead of 50 microseconds.
MIN_PACKED_SIZE = 2**20


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


def pack_float32(weight: Tensor, bias: Tensor | None) -> "Float32Linear":
    """Pack a weight (O, I) and its bias (O,) for products in float32."""
    one_dnn = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return OneDnnLinear(weight, bias) if one_dnn and weight.numel() >= MIN_PACKED_SIZE else Float32Linear(weight, bias)


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


class Float32Linear:
    """float32 by `F.linear`, with the weight stored as (I, O), the order that it reads fastest."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self._bias = weight.T.contiguous().T, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self._bias)

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        return torch.addmm(base, x, self.weight.T)

    def slice_inputs(self, start: int, stop: int | None, bias: Tensor | None) -> "Float32Linear":
        """Return the product of the inputs `start` to `stop` alone; it shares the weight."""
        return Float32Linear(self.weight[:, start:stop], bias)


class OneDnnLinear(Float32Linear):
    """float32 by oneDNN. Single rows, whose time is that of reading the weight, use `F.linear`."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[:-1].numel() == 1:
            return super().__call__(x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return product

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        if len(x) == 1:
            return super().addmm(base, x)
        sums: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, base, self._packed, None, "add")
        return sums


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
