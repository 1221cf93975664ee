"""Calibration of a trained forecaster on the validation part: width of the quantiles, persistence of the errors."""

import math

import torch

from models.recipes.forecast_distributions import path_correlation, quantile_position
from models.recipes.forecast_network import Forecaster
from models.recipes.forecast_scores import actual_targets, coverage, origins, outside_windows
from models.recipes.forecast_series import Series, Split, forecasts


def spread_factor(
    model: Forecaster, series: Series, split: Split, interval: tuple[float, float], windows: list[tuple[int, int]]
) -> float:
    """Return the factor on the distances from the median that gives an interval its nominal coverage in validation.

    Follows Y. Romano, E. Patterson and E. Candès, "Conformalized quantile regression" (2019), with a factor in place of
    a margin. If there are rows inside of `windows` (first row, last row), they weigh as much as all other rows
    together.
    """
    low, high = interval
    levels = model.architecture.quantiles
    rows = origins(split.valid, split.test, model.architecture.horizon)
    quantiles, actual = forecasts(model, series, int(rows[0]), int(rows[-1]) + 1), actual_targets(series, rows)
    ordinary = outside_windows(rows, model.architecture.horizon, windows)
    groups = [group for group in (ordinary, ~ordinary) if group.any()]
    middle = quantiles[..., levels.index(0.5), None]
    lower, upper, factor = 0.25, 4.0, 1.0
    for _ in range(20):
        factor = math.sqrt(lower * upper)
        inside = coverage(middle + factor * (quantiles - middle), levels, low, high, actual).float()
        covered = sum(float(inside[group].mean()) for group in groups) / len(groups)
        lower, upper = (factor, upper) if covered < high - low else (lower, factor)
    return factor


@torch.no_grad()
def widen(model: Forecaster, factor: float) -> None:
    """Multiply the distances of the quantiles from the median, in the weights of the output layer."""
    levels = model.architecture.quantiles
    for tensor in (model.output.weight, model.output.bias):
        by_level = tensor.view(-1, len(levels), *tensor.shape[1:])
        middle = by_level[:, levels.index(0.5), None].clone()
        by_level.copy_(middle + factor * (by_level - middle))


def estimate_path_correlation(model: Forecaster, series: Series, split: Split) -> float:
    """Return the lag-one correlation of the normal scores of the actual values in the validation part."""
    rows = origins(split.valid, split.test, model.architecture.horizon)
    quantiles, actual = forecasts(model, series, int(rows[0]), int(rows[-1]) + 1), actual_targets(series, rows)
    positions = quantile_position(quantiles, torch.tensor(model.architecture.quantiles), actual)
    return round(path_correlation(positions), 3)
