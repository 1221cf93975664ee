"""Linear layers that read the vector which a language model begins with, recognised by their names and sizes."""

import re
from dataclasses import dataclass, field
from typing import Any

from service.tooling.inspect.head_layers import Norm
from service.tooling.inspect.inventory import Matrix, UnsupportedNetwork
from service.tooling.inspect.recurrent_layers import RecurrentGroup

WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
KINDS = {"h": "h", "hidden": "h", "hid": "h", "c": "c", "cell": "c"}
#: Words that say what a layer gives: the state before the first input.
INITIAL = {"init", "initial", "initialize"}
#: Words that say what a layer reads.
VECTORS = {
    "image", "img", "feature", "features", "feat", "visual", "vis", "cnn", "resnet", "encoder", "style", "latent", "z",
    "vector", "vec", "cond", "condition", "attributes",
}  # fmt: skip
#: Words of layers of any kind.
PLAIN = {"fc", "linear", "lin", "dense", "proj", "project", "to", "2"}


@dataclass(frozen=True, slots=True)
class VectorLayers:
    """The fields of config.json and the names of tensors of such layers, and the fields that the user must state."""

    fields: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()


def pop_vector_layers(
    rest: list[Matrix], norms: list[Norm], group: RecurrentGroup, width: int, order: list[str]
) -> VectorLayers:
    """Remove the layers from `rest` and `norms` that read a vector, and return them.

    `width` is that of an embedding. `order` are the names of all tensors, in the order of the file. Raises
    UnsupportedNetwork.
    """
    states = _state_layers(rest, group)
    inputs = _input_layers([layer for layer in rest if layer not in states], width)
    if not states and not inputs:
        return VectorLayers()
    if states and inputs:
        raise UnsupportedNetwork("a network over tokens that begins with a vector in two ways: write its config.json")
    for layer in (*states, *inputs):
        rest.remove(layer)
    return _initial(states, group) if states else _first_input(inputs[0], norms, order)


def reads_vector(rest: list[Matrix], group: RecurrentGroup, width: int) -> bool:
    """Return whether the name of a layer says that it reads a vector, so that it stands nowhere else."""
    states, inputs = _state_layers(rest, group), _input_layers(rest, width)
    return any((INITIAL | VECTORS) & _words(layer.name) for layer in states) or any(
        VECTORS & _words(layer.name) for layer in inputs
    )


def _state_layers(rest: list[Matrix], group: RecurrentGroup) -> dict[Matrix, str]:
    """Return the layers that may give the initial state, and the kind of it."""
    sizes, depth = {*group.hidden_sizes}, len(group.hidden_sizes)
    if len(sizes) > 1 or group.further or group.proj_size:
        return {}
    (size,) = sizes
    found = {layer: _kind(layer.name) for layer in rest if layer.rows in {size, depth * size}}
    return {layer: kind for layer, kind in found.items() if kind is not None}


def _kind(name: str) -> str | None:
    words = _words(name)
    kinds = {KINDS[word] for word in words if word in KINDS}
    if len(kinds) != 1 or words & {"att", "attn", "attention"} or not words & (INITIAL | VECTORS | PLAIN | {"0"}):
        return None
    return kinds.pop()


def _words(name: str) -> set[str]:
    """Return the words in the name of a layer, without that of the module around it."""
    parts = name.removesuffix(".weight").split(".")
    own = parts[-2:] if parts[-1].isdigit() else parts[-1:]
    return {word.lower() for part in own for word in WORDS.findall(part)}


def _initial(states: dict[Matrix, str], group: RecurrentGroup) -> VectorLayers:
    """Return the fields and names of layers that give the initial state. Raises UnsupportedNetwork."""
    depth, by_kind = len(group.hidden_sizes), _by_kind(states)
    names: dict[str, str] = {}
    for kind, own in by_kind.items():
        names |= _places(kind, own, depth)
    vector: dict[str, Any] = {"size": _size_of_vector(states), "activation": "none"}
    guessed = ["vector.activation"]
    if unclear := any(_is_unclear(own, group) for own in by_kind.values()):
        guessed.append("vector.states")
    if unclear or len(by_kind) < (2 if group.cell == "lstm" else 1):
        vector["states"] = [f"{kind}_l{index}" for kind in by_kind for index in range(depth)]
    return VectorLayers({"initial_state": "vector", "vector": vector}, names, tuple(guessed))


def _is_unclear(layers: list[Matrix], group: RecurrentGroup) -> bool:
    """Return whether a single layer gives the state of one recurrent layer, or else the same one to each."""
    return len(layers) == 1 < len(group.hidden_sizes) and layers[0].rows == group.hidden_sizes[0]


def _size_of_vector(states: dict[Matrix, str]) -> int:
    """Return the number of columns that all layers have. Raises UnsupportedNetwork."""
    size, *others = {layer.columns for layer in states}
    if others:
        raise UnsupportedNetwork("a network over tokens whose initial state comes from vectors of several sizes")
    return size


def _by_kind(states: dict[Matrix, str]) -> dict[str, list[Matrix]]:
    """Return the layers of each kind that there are any of, h before c."""
    by_kind = {kind: [layer for layer, found in states.items() if found == kind] for kind in "hc"}
    return {kind: layers for kind, layers in by_kind.items() if layers}


def _places(kind: str, layers: list[Matrix], depth: int) -> dict[str, str]:
    """Return the names of the layers that give the states of one kind, of each recurrent layer or of all together."""
    if len(layers) not in {0, 1, depth}:
        listed = ", ".join(layer.name for layer in layers)
        raise UnsupportedNetwork(f"a network over tokens with {len(layers)} layers for its initial {kind}: {listed}")
    names: dict[str, str] = {}
    for index, layer in enumerate(layers):
        names |= layer.renamed(f"vector.initial.{kind}" if len(layers) < depth else f"vector.initial.{kind}_l{index}")
    return names


def _input_layers(rest: list[Matrix], width: int) -> list[Matrix]:
    """Return the first layer that may project a vector to the width of an embedding, if there is one."""
    return [layer for layer in rest if layer.rows == width and VECTORS & _all_words(layer.name)][:1]


def _all_words(name: str) -> set[str]:
    return {word.lower() for word in WORDS.findall(name.removesuffix(".weight"))}


def _first_input(layer: Matrix, norms: list[Norm], order: list[str]) -> VectorLayers:
    """Return the fields and names of a layer whose output is the first input, and of a normalisation behind it."""
    entries: list[dict[str, Any]] = [{"size": layer.rows, "activation": "none"}]
    names = layer.renamed("vector.first_input.0")
    behind = order.index(layer.names[-1]) + 1
    for norm in norms:
        if norm.size == layer.rows and order[behind : behind + 1] == [f"{norm.name}.weight"]:
            norms.remove(norm)
            entries.append({"batch_norm": True} if norm.batch else {"layer_norm": True})
            names |= norm.renamed("vector.first_input.1")
            break
    fields = {"vector": {"size": layer.columns, "first_input": entries}}
    return VectorLayers(fields, names, ("vector.first_input",))
