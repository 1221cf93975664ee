"""Products in narrower numbers than float32, which still go in and come out.

bfloat16   weights rounded to bfloat16, sums in float32. Where the processor multiplies bfloat16 the activations are
           rounded too, and the results once more; elsewhere the weights only take half the room
int8       whole numbers from -127 to 127 with one scale per row of x and one per row of W. Their sums are exact, so
           that a row's result is the same to the last bit whatever other rows it shares the product with
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

#: The largest whole number that int8 is used for, on both sides of zero.
MAX_ABS = 127


class ReducedMatmul(Protocol):
    """As `Product` of linear.py."""

    def __call__(self, x: Tensor) -> Tensor: ...
    def onto(self, base: Tensor, x: Tensor) -> Tensor: ...


def bfloat16_product(weight: Tensor, bias: Tensor | None) -> ReducedMatmul:
    """Return what is fastest on this machine."""
    if (
        weight.device.type == "cpu"
        and not _multiplies_bfloat16()
        and "x86" in torch.backends.quantized.supported_engines
    ):
        return Fp16WeightLinear(weight, bias)
    return Bf16Linear(weight, bias)


def int8_product(weight: Tensor, bias: Tensor | None) -> ReducedMatmul:
    """Return what is fastest on this machine."""
    # Without these instructions oneDNN adds up in 16 bits, which are too few.
    vnni = torch.backends.mkldnn.is_available() and torch.cpu._is_vnni_supported()  # type: ignore[no-untyped-call]
    return Int8Linear(weight, bias) if vnni else PlainInt8Linear(weight, bias)


def _multiplies_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _packs_bfloat16() -> bool:
    """Return whether oneDNN takes weights in bfloat16 on this processor; on x86 it needs AVX-512."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Bf16Linear:
    """bfloat16 in and out of the product, by oneDNN where it can and by torch's own product elsewhere."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._bias, self._weight = bias, weight.bfloat16()
        self._one_dnn = weight.device.type == "cpu" and _packs_bfloat16()
        if self._one_dnn:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight)

    def __call__(self, x: Tensor) -> Tensor:
        product = self._product(x)
        return product.float() if self._bias is None else self._bias + product

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        return base + self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        if not self._one_dnn:
            return F.linear(x.bfloat16(), self._weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self._weight, None, "none", [], "")
        return product


class Fp16WeightLinear:
    """float32 products with a weight held in 16 bits (FBGEMM's half precision, which holds what bfloat16 can)."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._bias = bias
        self._weight: Any = torch.ops.quantized.linear_prepack_fp16(weight.bfloat16().float(), None)

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._weight)
        return product if self._bias is None else product.add_(self._bias)

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._weight)
        return product.add_(base)


class Int8Linear:
    """int8 by oneDNN.

    It uses the processor's own instructions where activations are unsigned: signed ones take a hundred times as long.
    So they go in 128 higher, which it takes off again.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        rows, scales = quantize_rows(weight)
        self._bias, self._scales = bias, scales[:, 0].contiguous()
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._weight = self._lay_out(rows)

    def __call__(self, x: Tensor) -> Tensor:
        product, scales = self._product(x)
        return product.mul_(scales) if self._bias is None else torch.addcmul(self._bias, product, scales, out=product)

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        product, scales = self._product(x)
        return torch.addcmul(base, product, scales, out=product)

    def _lay_out(self, rows: Tensor) -> Tensor:
        laid_out: Tensor = torch.ops.onednn.qlinear_prepack(rows, None)
        return laid_out

    def _product(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is left to be multiplied by a scale per row of x, (..., O), and those, (..., 1)."""
        rows, scales = _scaled(x)
        unsigned = rows.add_(128).to(torch.uint8)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(unsigned, 1.0, 128),
            *(self._weight, self._scales, self._zeros, None),
            *(1.0, 0, torch.float32, "none", [], ""),  # no scale, offset or function behind it
        )
        return product, scales


class PlainInt8Linear(Int8Linear):
    """The same numbers by torch's own product of whole numbers, where oneDNN has no instructions for them."""

    def _lay_out(self, rows: Tensor) -> Tensor:
        return rows.T

    def _product(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, scales = quantize_rows(x)
        sums = torch._int_mm(rows.flatten(0, -2), self._weight).reshape(*x.shape[:-1], -1)
        return sums * self._scales, scales


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of x (..., I) as int8, and what multiplies each of them, (..., 1)."""
    rows, scales = _scaled(x)
    return rows.to(torch.int8), scales


def _scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    scales = x.abs().amax(-1, keepdim=True).clamp_(min=torch.finfo(x.dtype).tiny * MAX_ABS).div_(MAX_ABS)
    return (x / scales).round_(), scales
