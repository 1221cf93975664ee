"""A layer of a Keras model, as its JSON describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer is in its model: its name, and the group of its weights, with what follows within it."""

    name: str
    group: str
    within: str = ""


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer: its class, its options as Keras names them, and the layers that it wraps.

    `places` are those of the models that it is within, from the outermost on, and its own.
    """

    kind: str
    name: str
    options: Mapping[str, object]
    inner: tuple["KerasLayer", ...] = field(default=())
    places: tuple[Place, ...] = field(default=())
