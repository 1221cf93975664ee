"""Packed products against float64, in each arithmetic; what int8 promises of its rows."""

import pytest
import torch
from torch import Tensor

from service.nets.linear import Rows, pack
from service.types import Arithmetic

#: How far off a product may be, as a share of its largest number.
SHARES: dict[Arithmetic, float] = {"float32": 5e-6, "bfloat16": 0.01, "int8": 0.02}
SHAPES = [(1, 1), (7, 3), (33, 17), (128, 64), (40, 1100)]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def exact(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = x.double() @ weight.double().T
    return product if bias is None else product + bias.double()


def assert_close(found: Tensor, expected: Tensor, arithmetic: Arithmetic) -> None:
    assert found.dtype == torch.float32
    bound = SHARES[arithmetic] * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found.double(), expected, atol=bound, rtol=0)


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("arithmetic", SHARES)
@torch.inference_mode()
def test_a_packed_product_is_the_product(arithmetic: Arithmetic, shape: tuple[int, int], batch: int) -> None:
    weight, bias, base = numbers(*shape), numbers(shape[0], seed=1), numbers(batch, shape[0], seed=2)
    x = numbers(batch, shape[1], seed=3)
    for one in (None, bias):
        assert_close(pack(weight, one, arithmetic)(x), exact(x, weight, one), arithmetic)
    kept = base.clone()
    assert_close(pack(weight, bias, arithmetic).onto(base, x), base + exact(x, weight), arithmetic)
    assert torch.equal(base, kept)


@pytest.mark.parametrize("arithmetic", SHARES)
@torch.inference_mode()
def test_rows_may_have_any_strides_and_further_dimensions(arithmetic: Arithmetic) -> None:
    product = pack(numbers(9, 6), None, arithmetic)
    wide = numbers(4, 3, 10)
    assert torch.equal(product(wide[..., 2:8]), product(wide[..., 2:8].contiguous()))
    assert product(wide[..., :6]).shape == (4, 3, 9)
    column = wide[:, 1, 4:]
    assert torch.equal(product(column), product(column.contiguous()))


@pytest.mark.parametrize("shape", [(2048, 512), *SHAPES], ids=str)
@torch.inference_mode()
def test_an_int8_row_is_the_same_to_the_last_bit_whatever_shares_its_product(shape: tuple[int, int]) -> None:
    product, x, base = pack(numbers(*shape), numbers(shape[0]), "int8"), numbers(64, shape[1]), numbers(64, shape[0])
    x[5] *= 1e4
    alone = torch.cat([product(row[None]) for row in x])
    added = torch.cat([product.onto(base[at : at + 1], row[None]) for at, row in enumerate(x)])
    for size in (2, 3, 16, 17, 64):
        assert torch.equal(product(x[:size]), alone[:size])
        assert torch.equal(product.onto(base[:size], x[:size]), added[:size])


@torch.inference_mode()
def test_int8_takes_rows_of_zeros_and_rows_of_any_size() -> None:
    product, weight = pack(numbers(9, 6), None, "int8"), numbers(9, 6)
    x = torch.stack([torch.zeros(6), torch.full((6,), 1e-30), torch.full((6,), 1e30)])
    found, expected = product(x), exact(x, weight)
    assert torch.equal(found[0], torch.zeros(9))
    for row in (1, 2):
        assert float((found[row] - expected[row]).abs().max()) < 0.02 * float(expected[row].abs().max())


@pytest.mark.parametrize("arithmetic", SHARES)
@torch.inference_mode()
def test_single_results_are_those_of_the_product(arithmetic: Arithmetic) -> None:
    weight, bias, x = numbers(50, 24), numbers(50, seed=1), numbers(5, 24, seed=2)
    ids = torch.tensor([0, 49, 7, 7, 20])
    product = pack(weight, bias, arithmetic)
    whole = product(x)[torch.arange(5), ids]
    # Where the processor multiplies bfloat16, the whole product is rounded once more.
    bound = 0.1 if arithmetic == "bfloat16" else 1e-5
    torch.testing.assert_close(Rows(product, weight, bias, arithmetic)(ids, x), whole, atol=bound, rtol=0)
