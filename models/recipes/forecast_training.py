"""Trains a forecaster on one long series, as it is served: the state is carried along, nothing is ever read twice.

Many streams start at different rows and walk to the end of the training part, their state carried from piece to piece
and the gradient cut between the pieces, so that the network sees short histories and long ones. The weights that are
judged and returned are an exponential average; the best ones on the validation part are kept.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.recipes.forecast_distributions import loss
from models.recipes.forecast_network import Architecture, Forecaster, State
from models.recipes.forecast_series import Places, Series, Split, forecasts, places


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
    judge_every: int = 25
    patience: int = 12
    noise: float = 0.0
    seed: int = 1


class Streams:
    """Readers of the training part that start anywhere in any copy, walk to its end, and start anew."""

    def __init__(self, schedule: Schedule, copies: int, end: int, generator: torch.Generator) -> None:
        self.copies, self.end, self.piece, self.generator = copies, end, schedule.piece, generator
        self.starts, self.copy = self._anew(schedule.streams)
        self.at = self.starts.clone()

    def _anew(self, count: int) -> tuple[Tensor, Tensor]:
        starts = torch.randint(0, self.end - self.piece + 1, (count,), generator=self.generator)
        return starts, torch.randint(0, self.copies, (count,), generator=self.generator)

    def next_piece(self) -> tuple[Places, Tensor]:
        """Return the next rows of every stream, (streams, piece) each, and which of the streams have just begun."""
        finished = self.at + self.piece > self.end
        starts, copy = self._anew(len(self.at))
        self.starts = torch.where(finished, starts, self.starts)
        self.copy = torch.where(finished, copy, self.copy)
        self.at = torch.where(finished, starts, self.at)
        rows = self.at[:, None] + torch.arange(self.piece)
        fresh = self.at == self.starts
        self.at = self.at + self.piece
        return Places(self.copy[:, None].expand_as(rows), rows, self.starts[:, None].expand_as(rows)), fresh


def train(architecture: Architecture, series: Series, split: Split, schedule: Schedule) -> tuple[Forecaster, float]:
    """Train on the rows before `split.valid`; return the best averaged weights and their loss on the part after it."""
    run = Training(architecture, series, split, schedule)
    best, lowest, worse = run.average.state_dict(), math.inf, 0
    for update in range(schedule.updates):
        run.update(update)
        if (update + 1) % schedule.judge_every:
            continue
        judged = run.judge()
        print(f"update {update + 1}/{schedule.updates}: validation loss {judged:.4f}", flush=True)
        if judged < lowest:
            best, lowest, worse = copy.deepcopy(run.average.state_dict()), judged, 0
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
        """Read one piece of every stream, and learn from forecasts at some of its rows."""
        schedule = self.schedule
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate * min(1.0, (number + 1) / 50) * (1 - number / schedule.updates)
        self.model.train()
        at, fresh = self.streams.next_piece()
        features, self.state = self.model.read(self._rows(at), _carry(self.state, fresh))
        picked = torch.rand(at.rows.shape, generator=self.generator).topk(schedule.positions).indices
        asked = Places(*(part.gather(1, picked).flatten() for part in at))
        chosen = features.gather(1, picked[..., None].expand(-1, -1, features.shape[2])).flatten(0, 1)
        value = self._loss(self.model.decode(chosen, self.series.beside(asked)), self.series.ahead(asked))
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        _follow(self.average, self.model, min(schedule.average, number / (number + 10)))

    def judge(self) -> float:
        """Return the loss of the average at every origin of the validation part."""
        first, last = self.split.valid - 1, self.split.test - self.model.architecture.horizon
        truth = self.series.ahead(places(torch.arange(first, last)))
        return self._loss(forecasts(self.average, self.series, first, last), truth).item()

    def _rows(self, at: Places) -> Tensor:
        rows, width = self.series.rows[at.copies, at.rows], self.series.values.shape[2]
        if self.schedule.noise:
            noise = torch.randn(*at.rows.shape, width, generator=self.generator)
            rows[..., :width] += self.schedule.noise * noise
        return rows

    def _loss(self, parameters: Tensor, came: Tensor) -> Tensor:
        return loss(self.model.architecture.distribution, parameters, came, self.levels)


def _carry(state: State | None, fresh: Tensor) -> State | None:
    """Cut the gradient, and zero the state (layers, streams, size) of streams that begin."""
    if state is None:
        return None
    keep = (~fresh).float()[None, :, None]
    if isinstance(state, tuple):
        return state[0].detach() * keep, state[1].detach() * keep
    return state.detach() * keep


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, share: float) -> None:
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, 1 - share)
