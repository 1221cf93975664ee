"""A long series for a forecaster: its rows, the future features of the steps ahead, and its parts in time."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.recipes.forecast_network import Architecture, Beside, Forecaster

#: Scaled values go no further than this, here and in preprocessor.json.
CLAMP = 10.0


@dataclass(frozen=True)
class Split:
    """First rows of the validation and test parts; the training part lies before them."""

    valid: int
    test: int
    end: int


def calendar_inputs(stamps: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Stamps (rows,) datetime64 -> (rows, width): circles for the hour and the day of the year, one-hot weekdays."""
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


class Places(NamedTuple):
    """Rows of copies of a series, and the rows where the streams began that stand there; all of one shape."""

    copies: Tensor
    rows: Tensor
    starts: Tensor


def places(rows: Tensor, start: int = 0) -> Places:
    """Return rows of the series as it came, read from row `start` on."""
    return Places(torch.zeros_like(rows), rows, torch.full_like(rows, start))


class Series:
    """A scaled series and everything that the network reads of it.

    `values` (copies, rows, features) in scaled units: copies are versions of one series, the first one as it came, the
    others changed for training. `stamps` (rows,) datetime64, evenly spaced.
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

    def beside(self, at: Places) -> Beside:
        """Return what is known beside the state at n rows."""
        a = self.architecture
        calendar = self.calendar[at.rows[:, None] + 1 + self._steps]
        if not a.season:
            base = self.targets[at.copies, at.rows][:, None].expand(-1, a.horizon, -1)
            return Beside(calendar, base if a.output_residual else torch.zeros_like(base))
        source = at.rows[:, None] + 1 - a.season + self._steps % a.season
        seen = (source >= at.starts[:, None])[..., None]
        past = torch.where(seen, self.targets[at.copies[:, None], source.clamp_min(0)], 0.0)
        base = past if a.output_residual else torch.zeros_like(past)
        return Beside(torch.cat([calendar, past], -1), base)

    def ahead(self, at: Places) -> Tensor:
        """Return the targets of the steps after n rows, (n, horizon, targets)."""
        return self.targets[at.copies[:, None], at.rows[:, None] + 1 + self._steps]


@torch.inference_mode()
def forecasts(model: Forecaster, series: Series, first: int, last: int, start: int = 0) -> Tensor:
    """Return the parameters (origins, horizon, targets, P) at rows first..last-1, read from row `start` on."""
    model.eval()
    features, _ = model.read(series.rows[:1, start:last])
    parts = [
        model.decode(features[0, at.rows - start], series.beside(at))
        for at in (places(some, start) for some in torch.split(torch.arange(first, last), 512))
    ]
    return torch.cat(parts)


@torch.inference_mode()
def forecasts_after(model: Forecaster, series: Series, rows: Tensor, length: int) -> Tensor:
    """Return the parameters (origins, horizon, targets, P) at `rows`, each after a stream of `length` rows only."""
    model.eval()
    parts = []
    for some in torch.split(rows, 256):
        starts = some + 1 - length
        features, _ = model.read(series.rows[0, starts[:, None] + torch.arange(length)])
        parts.append(model.decode(features[:, -1], series.beside(Places(torch.zeros_like(some), some, starts))))
    return torch.cat(parts)
