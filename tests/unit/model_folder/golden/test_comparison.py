"""The tolerance of golden vectors is relative to the size of the numbers, and absolute below a size of 1."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.golden.comparison import Replay, Tolerance, compare

PATH = Path("golden.safetensors")


def numbers(*values: float) -> Tensor:
    return torch.tensor([[*values]])


def replay(expected: Tensor, actual: Tensor, tolerance: float = 1e-4, fraction: float = 0.0) -> Replay:
    return compare(PATH, {"logits": expected}, {"as a sequence": {"logits": actual}}, Tolerance(tolerance, fraction), 1)


def refusal(expected: Tensor, actual: Tensor, tolerance: float = 1e-4, fraction: float = 0.0) -> str:
    with pytest.raises(ModelFolderError) as error:
        replay(expected, actual, tolerance, fraction)
    return str(error.value)


@pytest.mark.parametrize("size", [1e-3, 0.5, 1.0])
def test_below_1_the_tolerance_is_absolute(size: float) -> None:
    expected = torch.full((2, 5), size, dtype=torch.float64)
    assert replay(expected, expected + 0.9e-4).tolerance == 1e-4
    assert "expected at most 0.0001" in refusal(expected, expected + 1.1e-4)


@pytest.mark.parametrize("size", [30.0, 1e6])
def test_above_1_the_tolerance_is_relative_to_the_size_of_the_tensor(size: float) -> None:
    expected = torch.linspace(-size, size, 50, dtype=torch.float64)[None]
    result = replay(expected, expected + 0.8e-4 * size)
    assert result.difference == pytest.approx(0.8e-4 * size)
    assert 0.85e-4 * size < result.tolerance <= 1e-4 * size
    refusal(expected, expected + 1.1e-4 * size)


def test_a_number_whose_sum_cancels_is_rounded_as_the_others_are() -> None:
    expected = numbers(0.0, *[50.0, -60.0] * 5)
    assert replay(expected, expected + numbers(0.004, *[0.0] * 10)).tolerance == pytest.approx(0.006)


def test_masked_tokens_do_not_widen_the_tolerance_of_the_others() -> None:
    expected = numbers(*[-1e9, *[2.0] * 20])
    message = refusal(expected, expected + numbers(0.0, *[2**-9] * 20))
    assert "logits: found a difference of 0.00195" in message
    assert "expected at most 0.0002" in message
    assert replay(expected, expected + numbers(64.0, *[0.0001] * 20)).tolerance == pytest.approx(0.0002)


def test_an_error_names_the_number_its_computed_value_and_the_tolerance() -> None:
    message = refusal(numbers(0.5, 40.0, -40.0, 40.0), numbers(0.5, 40.0, -39.5, 40.003))
    assert message.startswith("golden.safetensors: logits: found a difference of 0.5 at [0, 2], ")
    assert "the network computes -39.5 as a sequence, the file has -40, expected at most 0.004. The weights" in message


@pytest.mark.parametrize("computed", [math.nan, math.inf, -math.inf])
def test_the_difference_of_a_number_that_is_not_finite_is_infinite(computed: float) -> None:
    message = refusal(numbers(1.0, 1e30, 3.0), numbers(1.0, 2e30, computed))
    assert "logits: found a difference of inf at [0, 2], " in message
    assert f"the network computes {computed} as a sequence, the file has 3, " in message


@pytest.mark.parametrize("fraction", [0.0, 0.1])
@pytest.mark.parametrize("stored", [math.nan, math.inf, -math.inf])
def test_a_file_whose_numbers_are_not_finite_is_refused_though_the_network_computes_them(
    stored: float, fraction: float
) -> None:
    values = numbers(1.0, stored)
    assert f"logits: found {stored} at [0, 1], expected finite numbers" in refusal(values, values, fraction=fraction)


def test_a_reduced_dtype_may_differ_by_a_fraction_of_the_largest_number() -> None:
    expected = numbers(*[0.0] * 20, 8.0)
    assert replay(expected, expected + 0.7, fraction=0.1).tolerance == pytest.approx(0.8)
    assert "too coarse" in refusal(expected, expected + 0.9, fraction=0.1)


def test_the_replay_returns_the_largest_difference_of_all_tensors_and_modes_for_their_size() -> None:
    expected = {"large": numbers(1000.0), "small": numbers(0.1)}
    near = {"large": numbers(1000.01), "small": numbers(0.1)}
    far = {"large": numbers(1000.0), "small": numbers(0.10005)}
    result = compare(PATH, expected, {"step by step": near, "as a sequence": far}, Tolerance(1e-4), 1)
    assert (result.difference, result.tolerance) == (pytest.approx(5e-5, rel=1e-3), 1e-4)
