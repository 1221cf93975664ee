"""Conversion of the weights of Keras layers to PyTorch's names, shapes and order of gates."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from service.tooling.formats.keras.layers import KerasLayer, UnsupportedModel
from service.tooling.formats.values.arrays import Array

RECURRENT = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
#: The gates of a GRU by Keras, update, reset, new, in the order of PyTorch: reset, update, new.
_GRU_ORDER = (1, 0, 2)


def convert(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    """Return the tensors of a layer by their names within it. Raises UnsupportedModel if they do not fit it."""
    try:
        if layer.kind == "Bidirectional":
            half = len(arrays) // 2
            backward = layer.inner[-1] if len(layer.inner) > 1 else layer.inner[0]
            sides = (convert(layer.inner[0], arrays[:half]), convert(backward, arrays[half:]))
            return sides[0] | {f"{name}_reverse": tensor for name, tensor in sides[1].items()}
        if layer.kind == "TimeDistributed":
            return convert(layer.inner[0], arrays)
        if layer.kind in RECURRENT:
            return _recurrent(layer, arrays)
        if layer.kind == "Embedding":
            (table,) = arrays
            return {"weight": _tensor(table)}
        names = _NAMES[layer.kind](layer) if layer.kind in _NAMES else ()
        return {name: _tensor(array.T) for name, array in zip(names, arrays, strict=True)}
    except (ValueError, IndexError) as error:
        shapes = [list(array.shape) for array in arrays]
        raise UnsupportedModel(f"weights {str(shapes)[:200]} in the Keras layer {layer.name[:80]!r}") from error


def _recurrent(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    kernel, recurrent, *biases = arrays
    gates, size = RECURRENT[layer.kind], recurrent.shape[0]
    if kernel.shape[1:] != (gates * size,) or recurrent.shape[1:] != (gates * size,) or len(biases) > 1:
        raise ValueError("other shapes")
    tensors = {"weight_ih_l0": _gates(kernel, gates).T, "weight_hh_l0": _gates(recurrent, gates).T}
    if biases:
        both = biases[0] if biases[0].ndim == 2 else np.stack([biases[0], np.zeros_like(biases[0])])
        if both.shape != (2, gates * size):
            raise ValueError("another bias")
        tensors["bias_ih_l0"], tensors["bias_hh_l0"] = _gates(both, gates)
    return {name: _tensor(array) for name, array in tensors.items()}


def _gates(array: Array, count: int) -> Array:
    """Return the array with its last axis in PyTorch's order of gates."""
    if count != len(_GRU_ORDER):
        return array
    parts = np.split(array, count, -1)
    ordered: Array = np.concatenate([parts[index] for index in _GRU_ORDER], -1)
    return ordered


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _dense(layer: KerasLayer) -> tuple[str, ...]:
    return ("weight", "bias") if layer.options.get("use_bias", True) else ("weight",)


def _norm(layer: KerasLayer) -> tuple[str, ...]:
    options = layer.options
    own = [name for name, key in (("weight", "scale"), ("bias", "center")) if options.get(key, True)]
    return (*own, "running_mean", "running_var") if layer.kind == "BatchNormalization" else tuple(own)


_NAMES: dict[str, Callable[[KerasLayer], tuple[str, ...]]] = {
    "Dense": _dense,
    "LayerNormalization": _norm,
    "BatchNormalization": _norm,
}
