"""Losses of the forecast distributions, and quantiles and normal scores for their evaluation."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, StudentT
from torch.nn import functional as F


def pinball(parameters: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Return the mean quantile loss (R. Koenker and G. Bassett, "Regression quantiles", 1978).

    Parameters (..., levels), target (...).
    """
    error = target[..., None] - parameters
    return torch.maximum(levels * error, (levels - 1) * error).mean()


def loss(name: str, parameters: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Return the mean loss: squared error, negative log-likelihood or pinball. Parameters (..., P), target (...)."""
    if name == "quantiles":
        return pinball(parameters, target, levels)
    if name == "point":
        return F.mse_loss(parameters[..., 0], target)
    location, scale = parameters[..., 0], parameters[..., 1]
    distribution: Distribution = Normal(location, scale)
    if name == "student_t":
        distribution = StudentT(parameters[..., 2], location, scale)
    return -distribution.log_prob(target).mean()


def quantile_position(quantiles: Tensor, levels: Tensor, value: Tensor) -> Tensor:
    """Return the level of `value` (...) in the forecast: the inverse of the quantile function of (..., levels).

    Linear between the levels, exponential tails through the two outermost on each side.
    """
    inner = quantiles.contiguous(), value[..., None].contiguous()
    right = torch.searchsorted(*inner).clamp(1, len(levels) - 1)
    left = right - 1
    low, high = quantiles.gather(-1, left)[..., 0], quantiles.gather(-1, right)[..., 0]
    fraction = ((value - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    between = levels[left[..., 0]] + fraction * (levels[right[..., 0]] - levels[left[..., 0]])
    slope_low = (quantiles[..., 1] - quantiles[..., 0]).clamp_min(1e-6) / math.log(levels[1] / levels[0])
    slope_high = (quantiles[..., -1] - quantiles[..., -2]).clamp_min(1e-6) / math.log(
        (1 - levels[-2]) / (1 - levels[-1])
    )
    below = levels[0] * torch.exp((value - quantiles[..., 0]).clamp_max(0) / slope_low)
    above = 1 - (1 - levels[-1]) * torch.exp(-(value - quantiles[..., -1]).clamp_min(0) / slope_high)
    between = torch.where(value < quantiles[..., 0], below, between)
    return torch.where(value > quantiles[..., -1], above, between)


def path_correlation(positions: Tensor) -> float:
    """Return the lag-one correlation over the horizon of the normal scores of positions (origins, horizon, targets).

    The scores are centred and scaled per step first: a path drawn with this correlation has the forecast's own spread.
    """
    scores = torch.special.ndtri(positions.clamp(1e-4, 1 - 1e-4))
    scores = (scores - scores.mean(0)) / scores.std(0)
    return float((scores[:, 1:] * scores[:, :-1]).mean())
