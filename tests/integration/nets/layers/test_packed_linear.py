"""Packed products in every compute dtype, compared with float64, and the exactness of int8 rows."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from service.domain.operations import ComputeDtype
from service.nets.layers.float32_linear import Float32Linear, OneDnnLinear
from service.nets.layers.packed_linear import PackedMatmul, RowScorer, pack
from service.nets.layers.reduced_precision import (
    MAX_EXACT_TERMS,
    MAX_QUANTIZED,
    Bf16Linear,
    Fp16WeightLinear,
    Int8Linear,
    PlainInt8Linear,
    quantize_rows,
)
from tests.rounding import ROOM, assert_rounded, bound

#: bfloat16 rounds weights, activations and results by half of its eps. In a sum such errors average out as the terms
#: do, so that its relative error is at most that of one term.
BFLOAT16_ERROR = 3 * torch.finfo(torch.bfloat16).eps / 2
#: int8 rounds weights and activations by half a step, 1/127 of the largest of a row. Few of many such errors add up.
INT8_ERROR = ROOM * (1 / 2 + 1 / 2) / MAX_QUANTIZED
#: Every kind of product, also those of other machines and of larger weights, with the largest error that its dtype may
#: cause, relative to its largest result.
KINDS: dict[type[PackedMatmul], float] = {
    Float32Linear: 0.0,
    OneDnnLinear: 0.0,
    Bf16Linear: BFLOAT16_ERROR,
    PlainInt8Linear: INT8_ERROR,
}
if "x86" in torch.backends.quantized.supported_engines:
    KINDS[Fp16WeightLinear] = BFLOAT16_ERROR
if torch.cpu._is_vnni_supported():
    KINDS[Int8Linear] = INT8_ERROR
SHAPES = [(1, 1), (7, 3), (33, 17), (128, 64), (40, 1100)]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def exact(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = x.double() @ weight.double().T
    return product if bias is None else product + bias.double()


def assert_close(actual: Tensor, expected: Tensor, kind: type[PackedMatmul], terms: int) -> None:
    assert actual.dtype == torch.float32
    size = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(actual.double(), expected.double(), atol=KINDS[kind] * size + bound(size, terms), rtol=0)


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_every_kind_of_product_is_that_of_float64(kind: type[Any], shape: tuple[int, int], batch: int) -> None:
    weight, bias, base = numbers(*shape), numbers(shape[0], seed=1), numbers(batch, shape[0], seed=2)
    x = numbers(batch, shape[1], seed=3)
    for optional_bias in (None, bias):
        assert_close(kind(weight, optional_bias)(x), exact(x, weight, optional_bias), kind, shape[1])
    assert_close(kind(weight, bias).addmm(base, x), base + exact(x, weight), kind, shape[1])


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_product_does_not_change_its_inputs(kind: type[Any], shape: tuple[int, int], batch: int) -> None:
    product = kind(numbers(*shape), numbers(shape[0], seed=1))
    base, x = numbers(batch, shape[0], seed=2), numbers(batch, shape[1], seed=3)
    copies = base.clone(), x.clone()
    product(x)
    product.addmm(base, x)
    assert torch.equal(base, copies[0])
    assert torch.equal(x, copies[1])


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_rows_may_have_any_strides_and_further_dimensions(kind: type[Any]) -> None:
    product, wide = kind(numbers(9, 6), None), numbers(4, 3, 10)
    assert_close(product(wide[..., 2:8]), product(wide[..., 2:8].contiguous()), kind, 6)
    assert product(wide[..., :6]).shape == (4, 3, 9)
    column = wide[:, 1, 4:]
    assert_close(product(column), product(column.contiguous()), kind, 6)


@pytest.mark.parametrize("dtype", get_args(ComputeDtype))
@torch.inference_mode()
def test_large_weights_are_packed_for_each_compute_dtype(dtype: ComputeDtype) -> None:
    weight, bias, x = numbers(1024, 1024), numbers(1024, seed=1), numbers(4, 1024, seed=2)
    product = pack(weight, bias, dtype)
    assert isinstance(product, OneDnnLinear) == (dtype == "float32")
    assert_close(product(x), exact(x, weight, bias), type(product), 1024)
    assert_close(product(x[:1]), exact(x[:1], weight, bias), type(product), 1024)


@pytest.mark.skipif(Int8Linear not in KINDS, reason="this processor has no VNNI")
@pytest.mark.parametrize("shape", [(2048, 512), *SHAPES], ids=str)
@torch.inference_mode()
def test_int8_has_the_same_results_with_and_without_vnni(shape: tuple[int, int]) -> None:
    weight, bias, x = numbers(*shape), numbers(shape[0], seed=1), numbers(5, shape[1], seed=2)
    # The sums are integers and equal. They are multiplied by two scales and added to the bias, in any order.
    assert_rounded(Int8Linear(weight, bias)(x), PlainInt8Linear(weight, bias)(x), terms=2)


@pytest.mark.parametrize("inputs", [5, 512, MAX_EXACT_TERMS, MAX_EXACT_TERMS + 1, 3 * MAX_EXACT_TERMS + 7])
@torch.inference_mode()
def test_int8_sums_are_those_of_integers(inputs: int) -> None:
    weight, x = numbers(9, inputs), numbers(4, inputs, seed=1)
    weight[0], x[0] = 1.0, 1.0  # all quantised to the largest number, so that their sums are as large as can be
    (rows, row_scales), (columns, column_scales) = quantize_rows(x), quantize_rows(weight)
    sums = (rows.long() @ columns.long().T).float()
    assert torch.equal(PlainInt8Linear(weight, None)(x), sums * column_scales[:, 0] * row_scales)


@pytest.mark.parametrize("shape", [(2048, 512), *SHAPES], ids=str)
@torch.inference_mode()
def test_an_int8_row_is_bitwise_independent_of_the_other_rows(shape: tuple[int, int]) -> None:
    product, x, base = pack(numbers(*shape), numbers(shape[0]), "int8"), numbers(64, shape[1]), numbers(64, shape[0])
    x[5] *= 1e4
    alone = torch.cat([product(row[None]) for row in x])
    added = torch.cat([product.addmm(base[index : index + 1], row[None]) for index, row in enumerate(x)])
    for size in (2, 3, 16, 17, 64):
        assert torch.equal(product(x[:size]), alone[:size])
        assert torch.equal(product.addmm(base[:size], x[:size]), added[:size])


@torch.inference_mode()
def test_int8_accepts_rows_of_zeros_and_of_very_small_and_large_numbers() -> None:
    product, weight = pack(numbers(9, 6), None, "int8"), numbers(9, 6)
    x = torch.stack([torch.zeros(6), torch.full((6,), 1e-30), torch.full((6,), 1e30)])
    actual, expected = product(x), exact(x, weight)
    assert torch.equal(actual[0], torch.zeros(9))
    for row in (1, 2):
        assert float((actual[row] - expected[row]).abs().max()) < INT8_ERROR * float(expected[row].abs().max())


@pytest.mark.parametrize("dtype", get_args(ComputeDtype))
@torch.inference_mode()
def test_the_results_of_a_row_scorer_are_those_of_the_product(dtype: ComputeDtype) -> None:
    weight, bias, x = numbers(50, 24), numbers(50, seed=1), numbers(5, 24, seed=2)
    ids = torch.tensor([0, 49, 7, 7, 20])
    product = pack(weight, bias, dtype)
    whole = product(x)[torch.arange(5), ids]
    # A processor that multiplies bfloat16 rounds activations and results too; int8 has the same numbers in both.
    kind = type(product) if dtype == "bfloat16" else Float32Linear
    assert_close(RowScorer(product, weight, bias, dtype)(ids, x), whole, kind, 24)
