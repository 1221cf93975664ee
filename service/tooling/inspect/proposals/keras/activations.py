"""Activations of Keras by the names that config.json has for them."""

from collections.abc import Mapping
from typing import Any, get_args

from service.nets.config.feed_forward import ALPHAS, Activation
from service.tooling.formats.network import SavedLayer
from service.tooling.inspect.inventory import UnsupportedNetwork

_RENAMED = {"exponential": "exp", "hard_silu": "hard_swish", "swish": "silu", "none": "linear"}
_KNOWN = frozenset(get_args(Activation))
#: The slope of negative numbers of Keras' function `leaky_relu`, and of its layer.
_SLOPE_OF_FUNCTION, _SLOPE_OF_LAYER = 0.2, 0.3
#: Layers that are activations, and where they keep the parameter.
ACTIVATION_LAYERS = {"Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"}


def activation_of(layer: SavedLayer, key: str = "activation") -> str:
    """Return an activation by its name in config.json, or `softmax`. Raises UnsupportedNetwork for others."""
    value = layer.options.get(key)
    name = "linear" if value is None else _RENAMED.get(str(value), str(value))
    if name not in _KNOWN and name != "softmax":
        raise UnsupportedNetwork(f"the {key} {name[:80]!r} of {layer.name} is not served")
    return name


def cell_activation(layer: SavedLayer, key: str) -> str:
    """Return an activation within a cell, which has no parameter. Raises UnsupportedNetwork."""
    name = activation_of(layer, key)
    if name == "softmax" or ALPHAS.get(name, 1.0) != 1.0:
        raise UnsupportedNetwork(f"the {key} {name!r} of {layer.name} is not served within a cell")
    return name


def activation_fields(layer: SavedLayer) -> dict[str, Any]:
    """Return the activation of a layer as the fields of an entry. Raises UnsupportedNetwork."""
    fields = _LAYERS.get(layer.kind, _named)(layer)
    return {key: value for key, value in fields.items() if value is not None}


def _named(layer: SavedLayer) -> dict[str, Any]:
    name = activation_of(layer)
    return {"activation": name, "alpha": _SLOPE_OF_FUNCTION if name == "leaky_relu" else None}


def _relu(layer: SavedLayer) -> dict[str, Any]:
    highest, slope = layer.options.get("max_value"), _number(layer.options, "negative_slope", "alpha") or 0.0
    if layer.options.get("threshold") or (highest is not None and (highest != 6 or slope)):
        raise UnsupportedNetwork(f"max_value or threshold of {layer.name} is not served")
    if slope:
        return {"activation": "leaky_relu", "alpha": slope}
    return {"activation": "relu" if highest is None else "relu6"}


def _leaky(layer: SavedLayer) -> dict[str, Any]:
    slope = _number(layer.options, "negative_slope", "alpha")
    return {"activation": "leaky_relu", "alpha": _SLOPE_OF_LAYER if slope is None else slope}


def _elu(layer: SavedLayer) -> dict[str, Any]:
    alpha = _number(layer.options, "alpha")
    return {"activation": "elu", "alpha": None if alpha == 1 else alpha}


def _softmax(layer: SavedLayer) -> dict[str, Any]:
    if layer.options.get("axis", -1) != -1:
        raise UnsupportedNetwork(f"the axis of {layer.name} is {layer.options['axis']!r}, which is not served")
    return {"activation": "softmax"}


def _number(options: Mapping[str, object], *keys: str) -> float | None:
    """Return the first of several options that is a number."""
    found = (options.get(key) for key in keys)
    return next((float(value) for value in found if isinstance(value, int | float)), None)


_LAYERS = {"ReLU": _relu, "LeakyReLU": _leaky, "ELU": _elu, "Softmax": _softmax}
