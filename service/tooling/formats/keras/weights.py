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
        return _CONVERTERS.get(layer.kind, _other)(layer, arrays)
    except (ValueError, IndexError) as error:
        shapes = [list(array.shape) for array in arrays]
        raise UnsupportedModel(f"weights {str(shapes)[:200]} in the Keras layer {layer.name[:80]!r}") from error


def _bidirectional(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    half = len(arrays) // 2
    forward, backward = convert(layer.inner[0], arrays[:half]), convert(layer.inner[-1], arrays[half:])
    return forward | {f"{name}_reverse": tensor for name, tensor in backward.items()}


def _time_distributed(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    return convert(layer.inner[0], arrays)


def _embedding(_layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    (table,) = arrays
    return {"weight": _tensor(table)}


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


def _dense(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    return _named(("weight", "bias") if layer.options.get("use_bias", True) else ("weight",), arrays)


def _layer_norm(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    return _named(_scale_and_center(layer), arrays)


def _batch_norm(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    return _named((*_scale_and_center(layer), "running_mean", "running_var"), arrays)


def _scale_and_center(layer: KerasLayer) -> tuple[str, ...]:
    options = layer.options
    return tuple(name for name, key in (("weight", "scale"), ("bias", "center")) if options.get(key, True))


def _other(_layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    """Return no tensors: a layer of another kind has none."""
    return _named((), arrays)


def _named(names: tuple[str, ...], arrays: Sequence[Array]) -> dict[str, Tensor]:
    """Return the arrays with their axes in PyTorch's order. Raises ValueError for another number of them."""
    return {name: _tensor(array.T) for name, array in zip(names, arrays, strict=True)}


_CONVERTERS: dict[str, Callable[[KerasLayer, Sequence[Array]], dict[str, Tensor]]] = {
    "Bidirectional": _bidirectional,
    "TimeDistributed": _time_distributed,
    **dict.fromkeys(RECURRENT, _recurrent),
    "Embedding": _embedding,
    "Dense": _dense,
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
}
