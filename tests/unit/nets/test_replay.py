"""What a network may be off from the trainer's numbers: relative to their size, absolute below 1."""

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


def replay(expected: Tensor, actual: Tensor, tolerance: float = 1e-4, share: float = 0.0) -> Replay:
    return compare(PATH, {"logits": expected}, {"as a sequence": {"logits": actual}}, Tolerance(tolerance, share), 1)


def refusal(expected: Tensor, actual: Tensor, tolerance: float = 1e-4, share: float = 0.0) -> str:
    with pytest.raises(ModelFolderError) as caught:
        replay(expected, actual, tolerance, share)
    return str(caught.value)


@pytest.mark.parametrize("size", [1e-3, 0.5, 1.0])
def test_below_1_the_tolerance_is_absolute(size: float) -> None:
    expected = torch.full((2, 5), size, dtype=torch.float64)
    assert replay(expected, expected + 0.9e-4).tolerance == 1e-4
    assert "expected at most 0.0001" in refusal(expected, expected + 1.1e-4)


@pytest.mark.parametrize("size", [30.0, 1e6])
def test_above_1_it_is_relative_to_the_size_of_the_tensor(size: float) -> None:
    expected = torch.linspace(-size, size, 50, dtype=torch.float64)[None]
    own = replay(expected, expected + 0.8e-4 * size)
    assert own.difference == pytest.approx(0.8e-4 * size)
    assert 0.85e-4 * size < own.tolerance <= 1e-4 * size
    refusal(expected, expected + 1.1e-4 * size)


def test_a_number_whose_sum_cancels_is_rounded_as_the_others_are() -> None:
    expected = numbers(0.0, *[50.0, -60.0] * 5)
    assert replay(expected, expected + numbers(0.004, *[0.0] * 10)).tolerance == pytest.approx(0.006)


def test_masked_tokens_do_not_widen_what_the_others_are_allowed() -> None:
    expected = numbers(*[-1e9, *[2.0] * 20])
    message = refusal(expected, expected + numbers(0.0, *[2**-9] * 20))
    assert "logits: found a difference of 0.00195" in message
    assert "expected at most 0.0002" in message
    assert replay(expected, expected + numbers(64.0, *[0.0001] * 20)).tolerance == pytest.approx(0.0002)


def test_a_refusal_names_the_number_what_was_computed_and_what_was_allowed() -> None:
    message = refusal(numbers(0.5, 40.0, -40.0, 40.0), numbers(0.5, 40.0, -39.5, 40.003))
    assert message.startswith("golden.safetensors: logits: found a difference of 0.5 at [0, 2], ")
    assert "the network computes -39.5 as a sequence, the file has -40, expected at most 0.004. The weights" in message


@pytest.mark.parametrize("computed", [math.nan, math.inf, -math.inf])
def test_what_the_network_cannot_compute_is_infinitely_far_off(computed: float) -> None:
    message = refusal(numbers(1.0, 1e30, 3.0), numbers(1.0, 2e30, computed))
    assert "logits: found a difference of inf at [0, 2], " in message
    assert f"the network computes {computed} as a sequence, the file has 3, " in message


@pytest.mark.parametrize("share", [0.0, 0.1])
@pytest.mark.parametrize("stored", [math.nan, math.inf, -math.inf])
def test_a_file_whose_numbers_are_not_finite_is_refused_though_the_network_computes_them(
    stored: float, share: float
) -> None:
    values = numbers(1.0, stored)
    assert f"logits: found {stored} at [0, 1], expected finite numbers" in refusal(values, values, share=share)


def test_a_reduced_arithmetic_may_be_off_by_a_share_of_the_largest_number() -> None:
    expected = numbers(*[0.0] * 20, 8.0)
    assert replay(expected, expected + 0.7, share=0.1).tolerance == pytest.approx(0.8)
    assert "too coarse" in refusal(expected, expected + 0.9, share=0.1)


def test_of_all_tensors_and_manners_the_furthest_off_for_its_size_is_told() -> None:
    expected = {"large": numbers(1000.0), "small": numbers(0.1)}
    near = {"large": numbers(1000.01), "small": numbers(0.1)}
    far = {"large": numbers(1000.0), "small": numbers(0.10005)}
    own = compare(PATH, expected, {"step by step": near, "as a sequence": far}, Tolerance(1e-4), 1)
    assert (own.difference, own.tolerance) == (pytest.approx(5e-5, rel=1e-3), 1e-4)
