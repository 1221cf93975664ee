"""Conversion of weights over [input; state] to those of a recurrent layer."""

from pathlib import Path

import pytest
import torch

from service.domain.errors import ModelFolderError
from service.tooling.pack.recurrent_weights import convert_recurrent

SHAPES = {"rnn.weight_ih_l0": (6, 4), "rnn.weight_hh_l0": (6, 6), "rnn.bias_ih_l0": (6,), "rnn.bias_hh_l0": (6,)}


def test_the_columns_of_input_and_state_become_two_weights() -> None:
    weight, bias = torch.randn(6, 10), torch.randn(6)
    tensors = {"rnn.combined_l0.weight": weight, "rnn.combined_l0.bias": bias}
    convert_recurrent(Path("a.pt"), tensors, SHAPES)
    assert torch.equal(tensors["rnn.weight_ih_l0"], weight[:, :4])
    assert torch.equal(tensors["rnn.weight_hh_l0"], weight[:, 4:])
    assert torch.equal(tensors["rnn.bias_ih_l0"], bias)
    assert not tensors["rnn.bias_hh_l0"].any()
    assert tensors.keys() == SHAPES.keys()


@pytest.mark.parametrize("columns", [4, 11])
def test_a_weight_that_reads_no_state_or_a_larger_one_is_told(columns: int) -> None:
    tensors = {"rnn.combined_l0.weight": torch.zeros(6, columns)}
    with pytest.raises(ModelFolderError, match=rf"shape \[6, {columns}\], expected 6 rows of 5 to 10 columns"):
        convert_recurrent(Path("a.pt"), tensors, SHAPES)


def test_a_bias_without_its_weight_is_left_to_be_reported() -> None:
    tensors = {"rnn.combined_l0.weight": torch.zeros(6, 10), "rnn.combined_output_l0.bias": torch.ones(2)}
    convert_recurrent(Path("a.pt"), tensors, SHAPES)
    assert "rnn.combined_output_l0.bias" in tensors
