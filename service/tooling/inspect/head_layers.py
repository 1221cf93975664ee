"""Layers behind the recurrent ones, linear layers and normalisations, in the order in which they run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from service.tooling.inspect.front_layers import find_front
from service.tooling.inspect.inventory import Inventory, Matrix

#: Further tensors of a batch normalisation.
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer or batch normalisation of `size` numbers; `tensors` are its names by their last part."""

    name: str
    size: int
    batch: bool
    tensors: tuple[str, ...]

    def renamed(self, place: str) -> dict[str, str]:
        """Map its tensors to the names of a layer `place`; the number of batches is left out."""
        names = {f"{self.name}.{part}": f"{place}.{part}" for part in self.tensors}
        return {**names, f"{self.name}.num_batches_tracked": ""} if self.batch else names


HeadLayer: TypeAlias = Matrix | Norm


def find_norms(parts: Inventory) -> list[Norm]:
    """Return the normalisations among the tensors that are neither recurrent nor matrices, in the order of the file."""
    norms: list[Norm] = []
    for name in parts.others:
        prefix, _, last = name.rpartition(".")
        tensors = {part: parts.tensors.get(f"{prefix}.{part}") for part in ("weight", "bias", *STATISTICS)}
        shapes = {tuple(tensor.shape) for tensor in tensors.values() if tensor is not None}
        batch = tensors["running_mean"] is not None
        needed = ("weight", "bias", *(STATISTICS if batch else ()))
        complete = all(tensors[part] is not None for part in needed)
        if last == "weight" and complete and len(shapes) == 1 and len(shape := shapes.pop()) == 1:
            norms.append(Norm(prefix, shape[0], batch, needed))
    return norms


def unknown_tensors(parts: Inventory) -> list[str]:
    """Return the names of the tensors that belong to no layer that is known here."""
    known = {name for norm in find_norms(parts) for name in norm.renamed("")} | {*find_front(parts).names}
    return [name for name in parts.others if name not in known]


def pop_layers(parts: Inventory, rest: list[Matrix], norms: list[Norm], width: int) -> list[HeadLayer]:
    """Remove layers from `rest` and `norms` that read one another's output, the first `width` numbers; return them.

    Of several that fit, the first of the file comes first.
    """
    order = list(parts.tensors)
    layers: list[HeadLayer] = []
    while True:
        fitting: list[HeadLayer] = [layer for layer in rest if layer.columns == width]
        fitting += [norm for norm in norms if norm.size == width]
        if not fitting:
            return layers
        layer = min(fitting, key=lambda layer: order.index(_first_tensor(layer)))
        if isinstance(layer, Norm):
            norms.remove(layer)
        else:
            rest.remove(layer)
            width = layer.rows
        layers.append(layer)


def misfit(left: HeadLayer, width: int, chain: Sequence[HeadLayer]) -> str:
    """Return why a layer is left, where the recurrent layers hand `width` numbers to the layers of `chain`."""
    if isinstance(left, Norm):
        return f"{left.name} normalises {left.size} numbers in front of the recurrent layers, where none is served"
    handed_on = next((layer.rows for layer in chain[::-1] if isinstance(layer, Matrix)), width)
    return (
        f"{left.name} reads {left.columns} numbers where {handed_on} are handed on: a layer over several timesteps, "
        "readouts (such as mean and maximum) or layers' states at once, or over further inputs, is not served"
    )


def head_fields(layers: Iterable[HeadLayer]) -> list[dict[str, Any]]:
    """Return the entries of `head` that describe the layers, without activations."""
    return [
        ({"batch_norm": True} if layer.batch else {"layer_norm": True})
        if isinstance(layer, Norm)
        else {"size": layer.rows, "activation": "none"}
        for layer in layers
    ]


def head_names(layers: Iterable[HeadLayer]) -> dict[str, str]:
    """Map the tensors of the layers to their names in a model folder."""
    names: dict[str, str] = {}
    for index, layer in enumerate(layers):
        names |= layer.renamed(f"head.{index}")
    return names


def _first_tensor(layer: HeadLayer) -> str:
    return f"{layer.name}.weight" if isinstance(layer, Norm) else layer.name
