"""Conversion of the weights of Keras layers to PyTorch's names, shapes and order of gates."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from service.tooling.formats.keras.directions import BACKWARDS, RECURRENT
from service.tooling.formats.keras.layer import KerasLayer
from service.tooling.formats.keras.model_json import UnsupportedModel
from service.tooling.formats.keras.preprocessing import SCALING, scaling_matrix
from service.tooling.formats.values.arrays import Array

#: The gates of a GRU by Keras, update, reset, new, in the order of PyTorch: reset, update, new.
_GRU_ORDER = (1, 0, 2)
#: How both directions are merged by a linear layer over [forwards; backwards]: the factor of each.
MERGED = {"sum": (1.0, 1.0), "ave": (0.5, 0.5)}


def convert(layer: KerasLayer, arrays: Sequence[Array], width: int | None = None) -> dict[str, Tensor]:
    """Return the tensors of a layer by their names within it. Raises UnsupportedModel if they do not fit it.

    `width` is the number of features of the model's inputs, where it is known.
    """
    try:
        if layer.kind == "Bidirectional":
            return _both_directions(layer, arrays)
        if layer.kind == "TimeDistributed":
            return convert(layer.inner[0], arrays)
        if layer.options.get(BACKWARDS):
            return _backwards(_recurrent(layer, arrays))
        if layer.kind in RECURRENT:
            return _recurrent(layer, arrays)
        if layer.kind in SCALING:
            return {name: _tensor(array) for name, array in scaling_matrix(layer, arrays, width).items()}
        return {name: _tensor(array) for name, array in _PLAIN.get(layer.kind, _without)(layer, arrays).items()}
    except (ValueError, IndexError, TypeError) as error:
        shapes = [list(array.shape) for array in arrays]
        raise UnsupportedModel(
            f"weights {str(shapes)[:200]} in the Keras layer {layer.name[:80]!r}, expected those of its options"
        ) from error


def _both_directions(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    """Return the tensors of both directions, and the linear layer that adds them if they are not concatenated."""
    half = len(arrays) // 2
    forwards, backwards = convert(layer.inner[0], arrays[:half]), convert(layer.inner[-1], arrays[half:])
    tensors = forwards | {f"{name}_reverse": tensor for name, tensor in backwards.items()}
    factors = MERGED.get(str(layer.options.get("merge_mode")))
    return tensors if factors is None else tensors | _merging(forwards["weight_hh_l0"].shape[1], factors)


def _backwards(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a layer that goes backwards as one of both directions, of which the merging layer reads the second."""
    forwards = {name: torch.zeros_like(tensor) for name, tensor in own.items()}
    backwards = {f"{name}_reverse": tensor for name, tensor in own.items()}
    return forwards | backwards | _merging(own["weight_hh_l0"].shape[1], (0.0, 1.0))


def _merging(size: int, factors: tuple[float, float]) -> dict[str, Tensor]:
    """Return the linear layer that adds the outputs of both directions, each times its factor."""
    weight = torch.cat([factor * torch.eye(size) for factor in factors], 1)
    return {"merge.weight": weight, "merge.bias": torch.zeros(size)}


def _recurrent(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Tensor]:
    kernel, recurrent, *biases = arrays
    gates, size = RECURRENT[layer.kind], recurrent.shape[0]
    if kernel.shape[1:] != (gates * size,) or recurrent.shape[1:] != (gates * size,) or len(biases) > 1:
        raise ValueError("other shapes")
    if biases and biases[0].shape == (2 * gates * size,):
        kernel, recurrent, biases = _of_cudnn(kernel, recurrent, biases[0], gates)
    tensors = {"weight_ih_l0": _gates(kernel, gates).T, "weight_hh_l0": _gates(recurrent, gates).T}
    if biases:
        both = biases[0] if biases[0].ndim == 2 else np.stack([biases[0], np.zeros_like(biases[0])])
        if both.shape != (2, gates * size):
            raise ValueError("another bias")
        tensors["bias_ih_l0"], tensors["bias_hh_l0"] = _gates(both, gates)
    return {name: _tensor(array) for name, array in tensors.items()}


def _of_cudnn(kernel: Array, recurrent: Array, bias: Array, gates: int) -> tuple[Array, Array, list[Array]]:
    """Return the weights of CuDNNLSTM or CuDNNGRU as Keras has them: they are transposed, and there are two biases."""
    first = [part.reshape(part.shape[::-1]).T for part in np.split(kernel, gates, -1)]
    second = [part.T for part in np.split(recurrent, gates, -1)]
    return np.concatenate(first, -1), np.concatenate(second, -1), [bias.reshape(2, -1)]


def _gates(array: Array, count: int) -> Array:
    """Return the array with its last axis in PyTorch's order of gates."""
    if count != len(_GRU_ORDER):
        return array
    parts = np.split(array, count, -1)
    ordered: Array = np.concatenate([parts[index] for index in _GRU_ORDER], -1)
    return ordered


def _tensor(array: Array) -> Tensor:
    if array.dtype.kind != "f":
        raise ValueError("no floating-point numbers")
    return torch.from_numpy(np.ascontiguousarray(array))


def _without(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Array]:  # noqa: ARG001 - as all of them
    if arrays:
        raise ValueError("weights in a layer without any")
    return {}


def _embedding(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Array]:  # noqa: ARG001 - likewise
    (table,) = arrays
    return {"weight": table}


def _dense(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Array]:
    """Return the kernel with its outputs in front, of a convolution with its timesteps at the end, and the bias."""
    names = ("weight", "bias") if layer.options.get("use_bias", True) else ("weight",)
    return {name: array.T for name, array in zip(names, arrays, strict=True)}


def _norm(layer: KerasLayer, arrays: Sequence[Array]) -> dict[str, Array]:
    """Return all tensors of a normalisation; a scale that it does not have is 1, a centre 0."""
    kept = [name for name, key in (("weight", "scale"), ("bias", "center")) if layer.options.get(key, True)]
    names = (*kept, "running_mean", "running_var") if layer.kind == "BatchNormalization" else kept
    tensors = dict(zip(names, arrays, strict=True))
    size = next(iter(tensors.values())).shape if tensors else None
    if size is None or len(size) != 1:
        raise ValueError("no number for each feature")
    return {"weight": np.ones(size, np.float32), "bias": np.zeros(size, np.float32), **tensors}


_PLAIN: dict[str, Callable[[KerasLayer, Sequence[Array]], dict[str, Array]]] = {
    "Embedding": _embedding,
    "Dense": _dense,
    "Conv1D": _dense,
    "LayerNormalization": _norm,
    "BatchNormalization": _norm,
}
