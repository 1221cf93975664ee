"""Entries of config.json for feed-forward layers of Keras, in front of, between and behind recurrent layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from service.tooling.formats.network import SavedLayer
from service.tooling.inspect.inventory import UnsupportedNetwork
from service.tooling.inspect.proposals.keras.activations import ACTIVATION_LAYERS, activation_fields

NORMS = {"LayerNormalization": "layer_norm", "BatchNormalization": "batch_norm"}
#: Layers that multiply by a matrix; those that scale inputs are written as one.
LINEAR = {"Dense", "Normalization", "Rescaling"}
#: Keras' default of the small number in normalisations.
_EPSILON = 1e-3


@dataclass(slots=True)
class Entries:
    """Entries of config.json in their order, and the names of their tensors: the old one to entry and local name."""

    fields: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, tuple[int, str]] = field(default_factory=dict)

    def names(self, place: str) -> dict[str, str]:
        """Map the tensors to their names below `place`."""
        return {old: f"{place}.{index}.{local}" for old, (index, local) in self.tensors.items()}

    def add(self, fields: dict[str, Any], prefix: str, tensors: Mapping[str, Tensor]) -> None:
        """Append an entry whose tensors begin with `prefix`."""
        index, start = len(self.fields), f"{prefix}."
        self.tensors |= {name: (index, name.removeprefix(start)) for name in tensors if name.startswith(start)}
        self.fields.append(fields)

    def extend(self, behind: "Entries") -> None:
        """Append the entries that follow."""
        offset = len(self.fields)
        self.tensors |= {name: (index + offset, local) for name, (index, local) in behind.tensors.items()}
        self.fields += behind.fields


def plain_kind(layer: SavedLayer) -> str:
    """Return the class of a layer, or of the one that TimeDistributed applies to each timestep."""
    return str(layer.options.get("layer")) if layer.kind == "TimeDistributed" else layer.kind


def is_feed_forward(layer: SavedLayer) -> bool:
    """Return whether a layer can be an entry."""
    return plain_kind(layer) in LINEAR | NORMS.keys() | ACTIVATION_LAYERS


def entries_of(layers: Sequence[SavedLayer], tensors: Mapping[str, Tensor], *, last_axis: int = 2) -> Entries:
    """Return the entries of layers that follow each other. Raises UnsupportedNetwork.

    The last axis of their inputs is that of vectors, or else that of sequences, which have one more.
    """
    entries = Entries()
    for layer in layers:
        kind = plain_kind(layer)
        own = activation_fields(layer) if kind in ACTIVATION_LAYERS | {"Dense"} else {}
        if own.get("activation") == "softmax" and layer is not layers[-1]:
            raise UnsupportedNetwork(f"the softmax of {layer.name} is not served in front of other layers")
        if kind in LINEAR:
            size = tensors[f"{layer.name}.weight"].shape[0]
            entries.add({"size": size, "activation": "linear", **own}, layer.name, tensors)
        elif kind in NORMS:
            entries.add(_norm(layer, kind, last_axis), layer.name, tensors)
        elif kind not in ACTIVATION_LAYERS:
            raise UnsupportedNetwork(f"the layer {kind} ({layer.name}) is not served at its place")
        elif entries.fields and entries.fields[-1].get("activation", "linear") == "linear":
            entries.fields[-1] |= own
        else:
            entries.add(own, layer.name, {})
    return entries


def _norm(layer: SavedLayer, kind: str, last: int) -> dict[str, Any]:
    axis = layer.options.get("axis", -1)
    if axis not in (-1, last, [-1], [last]) or layer.options.get("rms_scaling"):
        raise UnsupportedNetwork(f"the axis of {layer.name} is {axis!r} or its scaling another, which is not served")
    return {NORMS[kind]: True, "eps": layer.options.get("epsilon", _EPSILON)}
