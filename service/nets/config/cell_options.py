"""Variants of recurrent cells, as other libraries define them."""

from typing import Literal

from service.nets.config.feed_forward import Activation
from service.nets.config.strict_model import StrictModel


class CellOptions(StrictModel):
    """What a cell computes differently from PyTorch's.

    `activation` replaces tanh: in a plain cell, for the candidate of a GRU, and for candidate and output of an LSTM.
    `gate_activation` replaces the sigmoid of the gates. `reset` is where the reset gate of a GRU acts: on the state,
    before the matrix product, or after it. With a `single` bias a layer has `bias_ih` alone.
    """

    activation: Activation | None = None
    gate_activation: Activation | None = None
    reset: Literal["before", "after"] = "after"
    bias: Literal["single", "double"] = "double"

    @property
    def standard_cell(self) -> bool:
        """Whether the cell computes what PyTorch's does."""
        return self.activation is None and self.gate_activation is None and self.reset == "after"
