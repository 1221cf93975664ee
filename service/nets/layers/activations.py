"""Elementwise activations, by their names in config.json."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from service.nets.config.feed_forward import ALPHAS

ActivationFunction: TypeAlias = Callable[[Tensor], Tensor]

#: The widest vector loop of torch. The remainder of a row is computed by other instructions.
VECTOR_SIZE = 64


def apply_by_row(function: ActivationFunction, x: Tensor) -> Tensor:
    """Apply an elementwise function to rows (..., N), so that each result is bitwise independent of the other rows."""
    width = x.shape[-1]
    return function(F.pad(x, (0, -width % VECTOR_SIZE)))[..., :width]


def _by_row(function: ActivationFunction) -> ActivationFunction:
    return partial(apply_by_row, function)


def _identity(x: Tensor) -> Tensor:
    return x


def _hard_sigmoid_legacy(x: Tensor) -> Tensor:
    return (0.2 * x + 0.5).clamp_(0, 1)


ACTIVATIONS: dict[str, ActivationFunction] = {
    "none": _identity,
    "linear": _identity,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "relu6": F.relu6,
    "sigmoid": _by_row(torch.sigmoid),
    "hard_sigmoid": _by_row(F.hardsigmoid),
    "hard_sigmoid_legacy": _by_row(_hard_sigmoid_legacy),
    "hard_tanh": F.hardtanh,
    "hard_swish": _by_row(F.hardswish),
    "gelu": _by_row(F.gelu),
    "gelu_tanh": _by_row(partial(F.gelu, approximate="tanh")),
    "selu": _by_row(torch.selu),
    "softplus": _by_row(F.softplus),
    "softsign": _by_row(F.softsign),
    "silu": _by_row(F.silu),
    "swish": _by_row(F.silu),
    "mish": _by_row(F.mish),
    "exp": _by_row(torch.exp),
}
#: The activations with a parameter.
PARAMETRIC: dict[str, Callable[[Tensor, float], Tensor]] = {"elu": F.elu, "leaky_relu": F.leaky_relu}


def make_activation(name: str, alpha: float | None = None) -> ActivationFunction:
    """Return the activation of that name; `alpha` is the parameter of those that have one, by default torch's."""
    if name not in PARAMETRIC:
        return ACTIVATIONS[name]
    function, value = PARAMETRIC[name], ALPHAS[name] if alpha is None else alpha
    return _by_row(lambda x: function(x, value))
