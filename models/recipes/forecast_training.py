"""Training of a forecaster on one long series as it is served: the state is carried on, and no row is read twice.

Many streams start at different rows and run to the end of the training part. Their state is carried from piece to
piece, and the gradient is cut between the pieces, so that the network sees short and long histories. The evaluated and
returned weights are an exponential average; the best ones on the validation part are kept.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.recipes.forecast_distributions import loss
from models.recipes.forecast_network import Architecture, Forecaster, State
from models.recipes.forecast_series import Series, SeriesPositions, Split, forecasts, original_positions


@dataclass(frozen=True)
class Schedule:
    """Hyperparameters of the training; `positions` rows of every piece are forecast origins."""

    updates: int
    rate: float
    dropout: float = 0.0
    weight_decay: float = 0.0
    streams: int = 32
    piece: int = 96
    positions: int = 12
    average: float = 0.98
    validate_every: int = 25
    patience: int = 12
    noise: float = 0.0
    seed: int = 1


class Streams:
    """Streams over the training part: each starts at a random row of a random copy, runs to its end, and restarts."""

    def __init__(self, schedule: Schedule, copies: int, end: int, generator: torch.Generator) -> None:
        self.copies, self.end, self.piece, self.generator = copies, end, schedule.piece, generator
        self.starts, self.copy = self._draw_starts(schedule.streams)
        self.at = self.starts.clone()

    def _draw_starts(self, count: int) -> tuple[Tensor, Tensor]:
        starts = torch.randint(0, self.end - self.piece + 1, (count,), generator=self.generator)
        return starts, torch.randint(0, self.copies, (count,), generator=self.generator)

    def next_piece(self) -> tuple[SeriesPositions, Tensor]:
        """Return the next rows of every stream, (streams, piece) each, and which streams have just started."""
        finished = self.at + self.piece > self.end
        starts, copy = self._draw_starts(len(self.at))
        self.starts = torch.where(finished, starts, self.starts)
        self.copy = torch.where(finished, copy, self.copy)
        self.at = torch.where(finished, starts, self.at)
        rows = self.at[:, None] + torch.arange(self.piece)
        fresh = self.at == self.starts
        self.at = self.at + self.piece
        return SeriesPositions(self.copy[:, None].expand_as(rows), rows, self.starts[:, None].expand_as(rows)), fresh


def train(architecture: Architecture, series: Series, split: Split, schedule: Schedule) -> tuple[Forecaster, float]:
    """Train on the rows before `split.valid`; return the best averaged weights and their loss on the part after it."""
    run = Training(architecture, series, split, schedule)
    best, lowest, worse = run.average.state_dict(), math.inf, 0
    for update in range(schedule.updates):
        run.update(update)
        if (update + 1) % schedule.validate_every:
            continue
        validation = run.validate()
        print(f"update {update + 1}/{schedule.updates}: validation loss {validation:.4f}", flush=True)
        if validation < lowest:
            best, lowest, worse = copy.deepcopy(run.average.state_dict()), validation, 0
        else:
            worse += 1
        if worse >= schedule.patience:
            break
    run.average.load_state_dict(best)
    return run.average.eval(), lowest


class Training:
    """A network in training, its streams with their state, and the average of its weights."""

    def __init__(self, architecture: Architecture, series: Series, split: Split, schedule: Schedule) -> None:
        torch.manual_seed(schedule.seed)
        self.series, self.split, self.schedule = series, split, schedule
        self.generator = torch.Generator().manual_seed(schedule.seed)
        self.levels = torch.tensor(architecture.quantiles)
        self.model = Forecaster(architecture, schedule.dropout)
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=schedule.weight_decay)
        self.streams = Streams(schedule, len(series.values), split.valid - architecture.horizon, self.generator)
        self.state: State | None = None

    def update(self, number: int) -> None:
        """Read one piece of every stream, and take a gradient step on forecasts at some of its rows."""
        schedule = self.schedule
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate * min(1.0, (number + 1) / 50) * (1 - number / schedule.updates)
        self.model.train()
        positions, fresh = self.streams.next_piece()
        features, self.state = self.model.read(self._rows(positions), _detach_state(self.state, fresh))
        columns = torch.rand(positions.rows.shape, generator=self.generator).topk(schedule.positions).indices
        origins = SeriesPositions(*(part.gather(1, columns).flatten() for part in positions))
        chosen = features.gather(1, columns[..., None].expand(-1, -1, features.shape[2])).flatten(0, 1)
        value = self._loss(
            self.model.decode(chosen, self.series.future_features(origins)), self.series.targets_after(origins)
        )
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        _update_average(self.average, self.model, min(schedule.average, number / (number + 10)))

    def validate(self) -> float:
        """Return the loss of the average at every origin of the validation part."""
        first, last = self.split.valid - 1, self.split.test - self.model.architecture.horizon
        actual = self.series.targets_after(original_positions(torch.arange(first, last)))
        return self._loss(forecasts(self.average, self.series, first, last), actual).item()

    def _rows(self, positions: SeriesPositions) -> Tensor:
        rows, width = self.series.rows[positions.copies, positions.rows], self.series.values.shape[2]
        if self.schedule.noise:
            noise = torch.randn(*positions.rows.shape, width, generator=self.generator)
            rows[..., :width] += self.schedule.noise * noise
        return rows

    def _loss(self, parameters: Tensor, actual: Tensor) -> Tensor:
        return loss(self.model.architecture.distribution, parameters, actual, self.levels)


def _detach_state(state: State | None, fresh: Tensor) -> State | None:
    """Cut the gradient, and zero the state (layers, streams, size) of new streams."""
    if state is None:
        return None
    keep = (~fresh).float()[None, :, None]
    if isinstance(state, tuple):
        return state[0].detach() * keep, state[1].detach() * keep
    return state.detach() * keep


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for averaged, new in zip(average.parameters(), model.parameters(), strict=True):
        averaged.lerp_(new, 1 - decay)
