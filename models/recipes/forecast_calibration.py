"""Calibration of a trained forecaster on the validation part: width of the quantiles, persistence of the errors."""

import math

import torch

from models.recipes.forecast_distributions import path_correlation, quantile_position
from models.recipes.forecast_network import Forecaster
from models.recipes.forecast_scores import coverage, origins, outside, truth
from models.recipes.forecast_series import Series, Split, forecasts


def spread_factor(
    model: Forecaster, series: Series, split: Split, interval: tuple[float, float], windows: list[tuple[int, int]]
) -> float:
    """Return the factor on the distances from the median with which an interval covers what it should of validation.

    As Y. Romano, E. Patterson and E. Candès, "Conformalized quantile regression" (2019), by a factor, not a margin.
    The rows inside of `windows` (first row, last row), where there are any, count as much as all the others together.
    """
    low, high = interval
    levels = model.architecture.quantiles
    rows = origins(split.valid, split.test, model.architecture.horizon)
    found, came = forecasts(model, series, int(rows[0]), int(rows[-1]) + 1), truth(series, rows)
    ordinary = outside(rows, model.architecture.horizon, windows)
    groups = [group for group in (ordinary, ~ordinary) if group.any()]
    middle = found[..., levels.index(0.5), None]
    least, most, factor = 0.25, 4.0, 1.0
    for _ in range(20):
        factor = math.sqrt(least * most)
        inside = coverage(middle + factor * (found - middle), levels, low, high, came).float()
        covered = sum(float(inside[group].mean()) for group in groups) / len(groups)
        least, most = (factor, most) if covered < high - low else (least, factor)
    return factor


@torch.no_grad()
def widen(model: Forecaster, factor: float) -> None:
    """Multiply the distances of the quantiles from the median, in the weights of the output layer itself."""
    levels = model.architecture.quantiles
    for tensor in (model.output.weight, model.output.bias):
        by_level = tensor.view(-1, len(levels), *tensor.shape[1:])
        middle = by_level[:, levels.index(0.5), None].clone()
        by_level.copy_(middle + factor * (by_level - middle))


def estimate_path_correlation(model: Forecaster, series: Series, split: Split) -> float:
    """Return the lag-one correlation of the normal scores of what came in the validation part."""
    rows = origins(split.valid, split.test, model.architecture.horizon)
    found, came = forecasts(model, series, int(rows[0]), int(rows[-1]) + 1), truth(series, rows)
    positions = quantile_position(found, torch.tensor(model.architecture.quantiles), came)
    return round(path_correlation(positions), 3)
