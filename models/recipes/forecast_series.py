"""A long series for a forecaster: its rows, the future features of its steps, and its training and test parts."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.recipes.forecast_network import Architecture, Forecaster, FutureFeatures

#: The maximum absolute scaled value, here and in preprocessor.json.
CLAMP = 10.0


@dataclass(frozen=True)
class Split:
    """First rows of the validation and test parts; the training part lies before them."""

    valid: int
    test: int
    end: int


def calendar_inputs(stamps: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Encode stamps (rows,) datetime64 -> (rows, width): circles for hour and day of the year, one-hot weekdays."""
    seconds = (stamps - stamps.astype("datetime64[D]")) / np.timedelta64(1, "s")
    days = stamps.astype("datetime64[D]").astype(int)
    of_year = (stamps.astype("datetime64[D]") - stamps.astype("datetime64[Y]")).astype(int)
    columns = {
        "hour_of_day": _circle(seconds / 86_400),
        "day_of_week": np.eye(7)[(days + 3) % 7],  # 1970 began on a Thursday
        "day_of_year": _circle((of_year + seconds / 86_400) / 365.25),
    }
    return np.concatenate([np.zeros((len(stamps), 0)), *(columns[name] for name in names)], 1)


def _circle(turns: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(2 * math.pi * turns), np.cos(2 * math.pi * turns)], 1)


class SeriesPositions(NamedTuple):
    """Positions in copies of a series: copy, row, and the row where the stream began, tensors of one shape."""

    copies: Tensor
    rows: Tensor
    starts: Tensor


def original_positions(rows: Tensor, start: int = 0) -> SeriesPositions:
    """Return positions in the original series, read from row `start` on."""
    return SeriesPositions(torch.zeros_like(rows), rows, torch.full_like(rows, start))


class Series:
    """A scaled series and the inputs that the network reads from it.

    `values` (copies, rows, features) in scaled units: copies are versions of one series: the first is the original, and
    the others are augmented for training. `stamps` (rows,) datetime64, evenly spaced.
    """

    def __init__(self, architecture: Architecture, values: np.ndarray, stamps: np.ndarray) -> None:
        a = self.architecture = architecture
        step = stamps[1] - stamps[0]
        stamps = np.concatenate([stamps, stamps[-1] + step * np.arange(1, a.horizon + 1)])
        self.calendar = torch.from_numpy(calendar_inputs(stamps, a.calendar)).float()
        self.values = torch.from_numpy(values).float().clamp(-CLAMP, CLAMP)
        known = self.calendar[: values.shape[1]].expand(len(values), -1, -1)
        self.rows = torch.cat([self.values, known], 2)
        self.targets = self.values[:, :, a.targets]
        self._steps = torch.arange(a.horizon)

    def future_features(self, positions: SeriesPositions) -> FutureFeatures:
        """Return the known inputs of the steps after n positions."""
        a = self.architecture
        calendar = self.calendar[positions.rows[:, None] + 1 + self._steps]
        if not a.season:
            base = self.targets[positions.copies, positions.rows][:, None].expand(-1, a.horizon, -1)
            return FutureFeatures(calendar, base if a.output_residual else torch.zeros_like(base))
        source = positions.rows[:, None] + 1 - a.season + self._steps % a.season
        seen = (source >= positions.starts[:, None])[..., None]
        past = torch.where(seen, self.targets[positions.copies[:, None], source.clamp_min(0)], 0.0)
        base = past if a.output_residual else torch.zeros_like(past)
        return FutureFeatures(torch.cat([calendar, past], -1), base)

    def targets_after(self, positions: SeriesPositions) -> Tensor:
        """Return the targets of the steps after n positions, (n, horizon, targets)."""
        return self.targets[positions.copies[:, None], positions.rows[:, None] + 1 + self._steps]


@torch.inference_mode()
def forecasts(model: Forecaster, series: Series, first: int, last: int, start: int = 0) -> Tensor:
    """Return the parameters (origins, horizon, targets, P) at rows first..last-1, read from row `start` on."""
    model.eval()
    features, _ = model.read(series.rows[:1, start:last])
    forecast_parts = [
        model.decode(features[0, positions.rows - start], series.future_features(positions))
        for positions in (original_positions(part, start) for part in torch.split(torch.arange(first, last), 512))
    ]
    return torch.cat(forecast_parts)


@torch.inference_mode()
def forecasts_after(model: Forecaster, series: Series, rows: Tensor, length: int) -> Tensor:
    """Return the parameters (origins, horizon, targets, P) at `rows`, each after a stream of `length` rows only."""
    model.eval()
    forecast_parts = []
    for part in torch.split(rows, 256):
        starts = part + 1 - length
        features, _ = model.read(series.rows[0, starts[:, None] + torch.arange(length)])
        forecast_parts.append(
            model.decode(features[:, -1], series.future_features(SeriesPositions(torch.zeros_like(part), part, starts)))
        )
    return torch.cat(forecast_parts)
