"""Evaluation of forecasts at every origin of a part: errors per step, interval coverage, and naive baselines."""

import torch
from torch import Tensor

from models.recipes.forecast_series import Series, Split, original_positions


def origins(first: int, end: int, horizon: int) -> Tensor:
    """Return the origins whose whole horizon lies in rows first..end-1; the first is the last row before the part."""
    return torch.arange(first - 1, end - horizon)


def test_origins(split: Split, horizon: int) -> Tensor:
    """Return the origins of the test part."""
    return origins(split.test, split.end, horizon)


def seasonal_naive(series: Series, rows: Tensor, season: int) -> Tensor:
    """Return the last `season` rows before each horizon, repeated over the horizon: (origins, horizon, targets)."""
    steps = torch.arange(series.architecture.horizon)
    return series.targets[0, rows[:, None] + 1 - season + steps % season]


def actual_targets(series: Series, rows: Tensor) -> Tensor:
    """Return the actual targets after each origin, (origins, horizon, targets)."""
    return series.targets_after(original_positions(rows))


def coverage(quantiles: Tensor, levels: tuple[float, ...], low: float, high: float, actual: Tensor) -> Tensor:
    """Return whether each value (...) lies in the interval between two levels of its quantiles (..., levels)."""
    return (actual >= quantiles[..., levels.index(low)]) & (actual <= quantiles[..., levels.index(high)])


def outside_windows(rows: Tensor, horizon: int, windows: list[tuple[int, int]]) -> Tensor:
    """Return whether each forecast row (origins, horizon) lies outside of all windows (first row, last row)."""
    ahead = rows[:, None] + 1 + torch.arange(horizon)
    inside = torch.zeros_like(ahead, dtype=torch.bool)
    for first, last in windows:
        inside |= (ahead >= first) & (ahead <= last)
    return ~inside
