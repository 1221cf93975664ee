"""Where the weights and other files of a layer are in a file of Keras."""

from collections.abc import Callable, Iterable

from service.tooling.formats.keras.hdf5 import Hdf5Content
from service.tooling.formats.keras.layer import KerasLayer
from service.tooling.formats.keras.model_json import UnsupportedModel
from service.tooling.formats.values.arrays import Array

#: The group of all layers, by Keras 3 and by the first releases that wrote `.keras` files.
ROOTS = ("layers", "_layer_checkpoint_dependencies")
ArraysOf = Callable[[KerasLayer], list[Array]]


def by_names(content: Hdf5Content) -> ArraysOf:
    """Return what finds the arrays of a layer in an HDF5 file of a whole model, where groups have names of layers.

    The group of a model within the model has the arrays of all its layers, whose names say which layer each is of.
    """

    def arrays_of(layer: KerasLayer) -> list[Array]:
        outer, *inner = layer.places
        group = f"/model_weights/{outer.name}"
        names = content.texts(group, "weight_names")
        if inner:
            names = [name for name in names if inner[-1].name in name.split("/")]
        missing = [name for name in names if f"{group}/{name}" not in content.arrays]
        if missing:
            raise UnsupportedModel(f"no weights {missing[0][:80]!r} of the Keras layer {layer.name[:80]!r}")
        return [content.arrays[f"{group}/{name}"] for name in names]

    return arrays_of


def by_groups(content: Hdf5Content) -> ArraysOf:
    """Return what finds the arrays of a layer in the weights of a `.keras` file."""
    groups = _Groups(content)

    def arrays_of(layer: KerasLayer) -> list[Array]:
        group = f"{groups.of(layer)}/"
        paths = [path for path in content.arrays if path.startswith(group) and not _is_of_training(path)]
        return [content.arrays[path] for path in sorted(paths, key=_order)]

    return arrays_of


class _Groups:
    """The groups of a file that has the weights of a model. They state the names of the layers."""

    def __init__(self, content: Hdf5Content) -> None:
        self._known = {path for full in (*content.attributes, *content.arrays) for path in _with_parents(full)}
        self._stated = {
            (path.removesuffix("/vars").rpartition("/")[0], name): path.removesuffix("/vars")
            for path in content.attributes
            if path.endswith("/vars")
            for name in content.texts(path, "name")
        }

    def of(self, layer: KerasLayer) -> str:
        """Return the group of a layer: that which states its name, or else the one that has the name of its class."""
        group = ""
        for place in layer.places:
            roots = [f"{group}/{root}" for root in ROOTS]
            root = next((root for root in roots if root in self._known), roots[0])
            group = self._stated.get((root, place.name), f"{root}/{place.group}") + place.within
        return group


def _with_parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(2, len(parts) + 1))


def asset_names(layer: KerasLayer, name: str) -> list[str]:
    """Return the members of a `.keras` file in which a layer can keep a file of its own."""
    names = []
    for root in ROOTS:
        path = "".join(f"/{root}/{place.group}{place.within}" for place in layer.places)
        names.append(f"assets{path}/{name}")
    return names


def _is_of_training(path: str) -> bool:
    """Return whether a variable is none of the weights: the random numbers of dropout, or the state of a layer."""
    parts = path.split("/")
    return "seed_generator" in parts or "states" in parts


def _order(path: str) -> tuple[bool, list[tuple[int, str]]]:
    """Return a sort key: the forward layer before the backward one, and variables by their number."""
    parts = [(int(part), "") if part.isdecimal() and len(part) < 9 else (0, part) for part in path.split("/")]
    return "/backward_layer/" in path, parts
