"""Evaluation of forecasts at every origin of a part: errors per step, interval coverage, and naive baselines."""

import torch
from torch import Tensor

from models.recipes.forecast_series import Series, Split, places


def origins(first: int, end: int, horizon: int) -> Tensor:
    """Return the rows whose whole horizon lies in rows first..end-1: the last row before the part is the first one."""
    return torch.arange(first - 1, end - horizon)


def test_origins(split: Split, horizon: int) -> Tensor:
    """Return the origins of the test part."""
    return origins(split.test, split.end, horizon)


def repeat(series: Series, rows: Tensor, season: int) -> Tensor:
    """Return the last `season` rows before each horizon, over and over: (origins, horizon, targets)."""
    steps = torch.arange(series.architecture.horizon)
    return series.targets[0, rows[:, None] + 1 - season + steps % season]


def truth(series: Series, rows: Tensor) -> Tensor:
    """Return what came after each origin, (origins, horizon, targets)."""
    return series.ahead(places(rows))


def coverage(quantiles: Tensor, levels: tuple[float, ...], low: float, high: float, came: Tensor) -> Tensor:
    """Return whether each value (...) lies in the interval between two levels of its quantiles (..., levels)."""
    return (came >= quantiles[..., levels.index(low)]) & (came <= quantiles[..., levels.index(high)])


def outside(rows: Tensor, horizon: int, windows: list[tuple[int, int]]) -> Tensor:
    """Return whether each forecast row (origins, horizon) lies outside of all windows (first row, last row)."""
    ahead = rows[:, None] + 1 + torch.arange(horizon)
    inside = torch.zeros_like(ahead, dtype=torch.bool)
    for first, last in windows:
        inside |= (ahead >= first) & (ahead <= last)
    return ~inside
