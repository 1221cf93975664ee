"""Convolutions in front of the recurrent layers of a Keras model."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from service.tooling.formats.network import SavedLayer
from service.tooling.inspect.inventory import UnsupportedNetwork
from service.tooling.inspect.proposals.keras.activations import ACTIVATION_LAYERS, activation_fields
from service.tooling.inspect.proposals.keras.feed_forward import LINEAR, plain_kind

#: Keras' default of the small number in a batch normalisation.
_EPSILON = 1e-3


def split_convolutions(layers: Sequence[SavedLayer]) -> tuple[list[SavedLayer], list[SavedLayer]]:
    """Return the layers up to the last convolution and the layers that belong to it, and those behind."""
    last = max((index for index, layer in enumerate(layers) if layer.kind == "Conv1D"), default=-1)
    end = last + 1
    while 0 < end < len(layers) and _joins(layers[end], layers[last:end]):
        end += 1
    return [*layers[:end]], [*layers[end:]]


def convolution_fields(
    layers: Sequence[SavedLayer], tensors: dict[str, Tensor]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the entries of `convolution`, and the new names of the tensors. Raises UnsupportedNetwork.

    A linear layer in front of a convolution is written as one over a single timestep.
    """
    entries: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    joined: list[SavedLayer] = []
    for layer in layers:
        kind, place = plain_kind(layer), f"rnn.convolution.{max(len(entries) - 1, 0)}"
        if kind == "Conv1D" or kind in LINEAR:
            joined = [layer]
            names |= _names(layer, tensors, f"rnn.convolution.{len(entries)}")
            entries.append(_entry(layer, tensors))
        elif not _joins(layer, joined):
            raise UnsupportedNetwork(f"the layer {kind} ({layer.name}) is not served in front of a convolution")
        else:
            joined.append(layer)
            names |= _names(layer, tensors, f"{place}.norm")
            entries[-1] |= _joined_fields(layer)
    return entries, names


def _joins(layer: SavedLayer, before: Sequence[SavedLayer]) -> bool:
    """Return whether a normalisation or an activation is a part of the convolution before it."""
    if any(part.kind in ACTIVATION_LAYERS for part in before) or not before or _activation(before[0]) != "linear":
        return False
    return layer.kind in ACTIVATION_LAYERS or (layer.kind == "BatchNormalization" and len(before) == 1)


def _joined_fields(layer: SavedLayer) -> dict[str, Any]:
    if layer.kind == "BatchNormalization":
        return {"batch_norm": True, "eps": layer.options.get("epsilon", _EPSILON)}
    return {"activation": _activation(layer)}


def _entry(layer: SavedLayer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return the entry of a convolution, or of a linear layer as one over a single timestep."""
    weight, options = tensors[f"{layer.name}.weight"], layer.options
    bias = {} if f"{layer.name}.bias" in tensors else {"bias": False}
    activation = _activation(layer)
    if weight.dim() == 2:
        return {"channels": len(weight), "kernel": 1, "padding": "valid", "activation": activation, **bias}
    channels, _, kernel = weight.shape
    if _single(options.get("strides", 1)) != 1 or options.get("groups", 1) != 1:
        raise UnsupportedNetwork(f"strides or groups of {layer.name} are not 1, which is not served: train it with 1")
    dilation = _single(options.get("dilation_rate", 1))
    return {
        "channels": channels,
        "kernel": kernel,
        "padding": str(options.get("padding")),
        **({"dilation": dilation} if dilation != 1 else {}),
        "activation": activation,
        **bias,
    }


def _activation(layer: SavedLayer) -> str:
    fields = activation_fields(layer)
    if "alpha" in fields or fields["activation"] == "softmax":
        raise UnsupportedNetwork(f"the activation of {layer.name} is not served behind a convolution")
    return str(fields["activation"])


def _single(value: object) -> object:
    """Return the number of an option that may be a list of one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _names(layer: SavedLayer, tensors: Mapping[str, Tensor], place: str) -> dict[str, str]:
    start = f"{layer.name}."
    return {name: f"{place}.{name.removeprefix(start)}" for name in tensors if name.startswith(start)}
