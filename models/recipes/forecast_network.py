"""Network of the forecasters: a recurrent encoder of the series, and a decoder of all steps of the horizon at once.

R. Wen, K. Torkkola, B. Narayanaswamy and D. Madeka, "A multi-horizon quantile recurrent forecaster" (2017): each step
of the horizon has its own context, computed from the state. A local layer, the same for every step, joins it with the
known inputs of that step. With `output_residual` the network learns the difference from the last value, or from the
value one season before.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CALENDAR_WIDTH = {"hour_of_day": 2, "day_of_week": 7, "day_of_year": 2}
PARAMETERS = {"point": 1, "gaussian": 2, "student_t": 3}
ACTIVATIONS = {"none": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}

State = Tensor | tuple[Tensor, Tensor]


class Layer(NamedTuple):
    """A linear layer and the activation after it."""

    size: int
    activation: str


@dataclass(frozen=True)
class Architecture:
    """The configuration of a directly decoding forecaster without known, static or missing values."""

    features: tuple[str, ...]
    target: tuple[str, ...]
    frequency: str
    horizon: int
    hidden_size: int
    num_layers: int = 1
    cell: str = "lstm"
    calendar: tuple[str, ...] = ()
    distribution: str = "point"
    quantiles: tuple[float, ...] = ()
    season: int = 0
    output_residual: bool = False
    context: Layer | None = None
    local: Layer | None = None

    @property
    def targets(self) -> list[int]:
        """The columns of the targets among the features."""
        return [self.features.index(name) for name in self.target]

    @property
    def calendar_width(self) -> int:
        return sum(CALENDAR_WIDTH[name] for name in self.calendar)

    @property
    def input_size(self) -> int:
        return len(self.features) + self.calendar_width

    @property
    def future_size(self) -> int:
        """The number of future features of a step: its calendar, and the value one season before."""
        return self.calendar_width + (len(self.target) if self.season else 0)

    @property
    def parameters(self) -> int:
        """Parameters per step and target."""
        return PARAMETERS.get(self.distribution) or len(self.quantiles)


class FutureFeatures(NamedTuple):
    """Future features: inputs (origins, horizon, future_size), base (origins, horizon, targets)."""

    inputs: Tensor
    base: Tensor


class Forecaster(nn.Module):
    """Rows (batch, time, input_size) -> forecast parameters at chosen rows (origins, horizon, targets, P)."""

    def __init__(self, architecture: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        self.architecture = a = architecture
        self.rnn = CELLS[a.cell](
            a.input_size, a.hidden_size, a.num_layers, batch_first=True, dropout=dropout if a.num_layers > 1 else 0.0
        )
        steps, width = a.horizon, a.hidden_size
        if a.context:
            self.context = nn.Linear(width, steps * a.context.size)
            self.context_activation = ACTIVATIONS[a.context.activation]()
            steps, width = 1, a.context.size
        if a.local:
            assert a.context, "a local layer needs a context per step"
            self.local = nn.Linear(width + a.future_size, a.local.size)
            self.local_activation = ACTIVATIONS[a.local.activation]()
            width = a.local.size
        self.output = nn.Linear(width, steps * len(a.target) * a.parameters)
        self.dropout = nn.Dropout(dropout)

    def read(self, rows: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Feed rows (batch, time, input_size) -> features (batch, time, hidden_size) and the next state."""
        features, state = self.rnn(rows, state)
        return features, state

    def decode(self, features: Tensor, future: FutureFeatures) -> Tensor:
        """Decode features (origins, hidden_size) -> parameters (origins, horizon, targets, P) in scaled units."""
        a = self.architecture
        hidden = self.dropout(features)
        if a.context:
            hidden = self.context_activation(self.context(hidden)).view(-1, a.horizon, a.context.size)
        if a.local:
            hidden = self.local_activation(self.local(torch.cat([hidden, future.inputs], -1)))
        raw: Tensor = self.output(hidden).view(-1, a.horizon, len(a.target), a.parameters)
        if self.training and a.distribution == "quantiles":
            return raw + future.base[..., None]  # unsorted, so that each output learns its own level
        return distribution_parameters(a.distribution, raw, future.base[..., None])


def distribution_parameters(distribution: str, raw: Tensor, base: Tensor) -> Tensor:
    """Convert raw outputs (..., P) and base (..., 1) to parameters (..., P): location first, or ascending quantiles.

    Sorting is the rearrangement of V. Chernozhukov, I. Fernandez-Val and A. Galichon, "Quantile and probability curves
    without crossing" (2010).
    """
    if distribution == "quantiles":
        return (raw + base).sort(-1).values
    parts = [raw[..., :1] + base]
    if distribution in ("gaussian", "student_t"):
        parts.append(F.softplus(raw[..., 1:2]) + 1e-4)
    if distribution == "student_t":
        parts.append(2 + F.softplus(raw[..., 2:3]) + 1e-3)
    return torch.cat(parts, -1)
