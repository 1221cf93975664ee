"""Packed linear layers in reduced precision. Inputs and outputs are float32.

bfloat16   Weights are rounded to bfloat16, sums are float32. If the processor multiplies bfloat16, activations and
           results are rounded too; otherwise the weights only take half the memory.
int8       Symmetric quantisation to integers from -127 to 127, with one scale per row of x and one per row of W. The
           sums are exact, so a row's result is bitwise independent of the other rows of the batch.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from service.nets.layers.float32_linear import Float32Linear, pack_float32

#: The largest absolute value of a quantised number.
MAX_QUANTIZED = 127
#: How many products of two quantised numbers float32 adds exactly.
MAX_EXACT_TERMS = 2**24 // MAX_QUANTIZED**2


class ReducedMatmul(Protocol):
    """The protocol `PackedMatmul` of `packed_linear`, which imports this module."""

    def __call__(self, x: Tensor) -> Tensor: ...
    def addmm(self, base: Tensor, x: Tensor) -> Tensor: ...


def bfloat16_product(weight: Tensor, bias: Tensor | None) -> ReducedMatmul:
    """Pack a weight (O, I) for the bfloat16 product that is fastest on this machine."""
    if (
        weight.device.type == "cpu"
        and not multiplies_bfloat16()
        and "x86" in torch.backends.quantized.supported_engines
    ):
        return Fp16WeightLinear(weight, bias)
    return Bf16Linear(weight, bias)


def int8_product(weight: Tensor, bias: Tensor | None) -> ReducedMatmul:
    """Pack a weight (O, I) for the int8 product that is fastest on this machine."""
    return Int8Linear(weight, bias) if multiplies_int8() else PlainInt8Linear(weight, bias)


def multiplies_bfloat16() -> bool:
    """Return whether the processor has instructions for products of bfloat16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def multiplies_int8() -> bool:
    """Return whether oneDNN multiplies int8 exactly and fast here."""
    # Without VNNI oneDNN accumulates in 16 bits, which overflow.
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and torch.cpu._is_vnni_supported()


def _packs_bfloat16() -> bool:
    """Return whether oneDNN takes weights in bfloat16 on this processor; on x86 it needs AVX-512."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Bf16Linear:
    """Product of bfloat16 weights and activations, by oneDNN if it supports them and by `F.linear` otherwise."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._bias, self._weight = bias, weight.bfloat16()
        self._one_dnn = weight.device.type == "cpu" and _packs_bfloat16()
        if self._one_dnn:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight)

    def __call__(self, x: Tensor) -> Tensor:
        product = self._product(x)
        return product.float() if self._bias is None else self._bias + product

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        return base + self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        if not self._one_dnn:
            return F.linear(x.bfloat16(), self._weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self._weight, None, "none", [], "")
        return product


class Fp16WeightLinear:
    """float32 product with a weight that is rounded to bfloat16 and stored as FBGEMM's float16."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._bias = bias
        self._weight: Any = torch.ops.quantized.linear_prepack_fp16(weight.bfloat16().float(), None)

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._weight)
        return product if self._bias is None else product.add_(self._bias)

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._weight)
        return product.add_(base)


class Int8Linear:
    """int8 product by oneDNN.

    oneDNN uses VNNI only for unsigned activations; signed ones take a hundred times as long. Activations are therefore
    passed as x + 128 with a zero point of 128.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        rows, scales = quantize_rows(weight)
        self._bias, self._scales = bias, scales[:, 0].contiguous()
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._weight: Any = self._pack(rows)

    def __call__(self, x: Tensor) -> Tensor:
        product, scales = self._product(x)
        return product.mul_(scales) if self._bias is None else torch.addcmul(self._bias, product, scales, out=product)

    def addmm(self, base: Tensor, x: Tensor) -> Tensor:
        product, scales = self._product(x)
        return torch.addcmul(base, product, scales, out=product)

    def _pack(self, rows: Tensor) -> Any:  # noqa: ANN401 - each kind of product has weights of its own
        return torch.ops.onednn.qlinear_prepack(rows, None)

    def _product(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the product without the scales of x, (..., O), and those scales, (..., 1)."""
        rows, scales = _scaled(x)
        unsigned = rows.add_(128).to(torch.uint8)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(unsigned, 1.0, 128),
            *(self._weight, self._scales, self._zeros, None),
            *(1.0, 0, torch.float32, "none", [], ""),  # output scale, zero point, dtype and no activation
        )
        return product, scales


class PlainInt8Linear(Int8Linear):
    """The same product for processors without VNNI, by float32 products of the same integers.

    float32 holds every integer up to 2^24, so sums of at most MAX_EXACT_TERMS products are exact in whatever order they
    are added. torch's own integer product takes twenty times as long there.
    """

    def _pack(self, rows: Tensor) -> list[Float32Linear]:
        return [pack_float32(part, None) for part in torch.split(rows.float(), MAX_EXACT_TERMS, dim=1)]

    def _product(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, scales = _scaled(x)
        sums = [
            part(columns) for part, columns in zip(self._weight, torch.split(rows, MAX_EXACT_TERMS, -1), strict=True)
        ]
        exact_sum = sums[0] if len(sums) == 1 else torch.stack([part.double() for part in sums]).sum(0).float()
        return exact_sum * self._scales, scales


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise the rows of x (..., I): return int8 values (..., I) and a scale per row (..., 1)."""
    rows, scales = _scaled(x)
    return rows.to(torch.int8), scales


def _scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    scales = x.abs().amax(-1, keepdim=True).clamp_(min=torch.finfo(x.dtype).tiny * MAX_QUANTIZED).div_(MAX_QUANTIZED)
    return (x / scales).round_(), scales
