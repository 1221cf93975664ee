"""Keras layers in front of a network that scale its inputs, as linear layers: Normalization and Rescaling."""

from collections.abc import Sequence

import numpy as np

from service.tooling.formats.keras.layer import KerasLayer
from service.tooling.formats.values.arrays import Array

#: Layers that multiply each feature by a factor, and add a number.
SCALING = {"Normalization", "Rescaling"}
MAX_FEATURES = 4096
#: What Keras takes for a standard deviation of 0.
_EPSILON = 1e-7


def scaling_matrix(layer: KerasLayer, arrays: Sequence[Array], width: int | None) -> dict[str, Array]:
    """Return weight and bias of the linear layer that scales inputs of `width` features. Raises ValueError."""
    factor, summand = _normalization(layer, arrays) if layer.kind == "Normalization" else _rescaling(layer)
    size = max(factor.size, summand.size, width or 0)
    if not 0 < size <= MAX_FEATURES or not {factor.size, summand.size} <= {1, size}:
        raise ValueError("another number of features")
    return {"weight": np.diag(np.broadcast_to(factor, size)), "bias": np.array(np.broadcast_to(summand, size))}


def _normalization(layer: KerasLayer, arrays: Sequence[Array]) -> tuple[Array, Array]:
    """Return factor and summand of (x - mean) / deviation, or of its inverse."""
    options = layer.options
    stated = [options.get(key) for key in ("mean", "variance")]
    if None not in stated:
        mean, variance = (np.asarray(value, np.float64).reshape(-1) for value in stated)
    else:
        mean, variance = (array.astype(np.float64).reshape(-1) for array in arrays[:2])
    deviation = np.maximum(np.sqrt(variance), _EPSILON)
    if options.get("invert"):
        return deviation, np.broadcast_to(mean, deviation.shape)
    return 1 / deviation, -mean / deviation


def _rescaling(layer: KerasLayer) -> tuple[Array, Array]:
    factor, summand = (
        np.asarray(layer.options.get(key, default), np.float64).reshape(-1)
        for key, default in (("scale", 1.0), ("offset", 0.0))
    )
    return factor, summand
