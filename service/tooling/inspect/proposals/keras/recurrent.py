"""Recurrent layers of a Keras model as the stacks of config.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from service.tooling.formats.keras.directions import BACKWARDS
from service.tooling.formats.network import SavedLayer
from service.tooling.inspect.inventory import UnsupportedNetwork
from service.tooling.inspect.proposals.keras.activations import cell_activation
from service.tooling.inspect.proposals.keras.feed_forward import Entries

CELLS = {"SimpleRNN": "rnn_tanh", "LSTM": "lstm", "GRU": "gru"}
#: What to do about options that are not served.
_REMEDIES = {
    "go_backwards": (False, "build the layer within Bidirectional with go_backwards=False"),
    "time_major": (False, "build the model with time_major=False"),
}
_MERGES = {"concat", "sum", "ave"}


@dataclass(frozen=True, slots=True)
class Block:
    """A recurrent layer, and the feed-forward layers in front of it."""

    before: Entries
    layer: SavedLayer


def cell_of(layer: SavedLayer) -> str | None:
    """Return the cell of a recurrent layer, None for any other layer."""
    kind = layer.options.get("layer") if layer.kind == "Bidirectional" else layer.kind
    return CELLS.get(str(kind))


def returns_all(layer: SavedLayer) -> bool:
    """Return whether a recurrent layer returns its outputs of all timesteps."""
    return bool(layer.options.get("return_sequences"))


def goes_backwards(layer: SavedLayer) -> bool:
    """Return whether a layer of one direction reads from the end; it is written as one of both directions."""
    return layer.options.get(BACKWARDS) is True


def reads_both(layer: SavedLayer) -> bool:
    """Return whether a layer is written as one of both directions."""
    return layer.kind == "Bidirectional" or goes_backwards(layer)


def is_merged(layer: SavedLayer) -> bool:
    """Return whether a linear layer adds the outputs of both directions, or takes those of one."""
    return goes_backwards(layer) or (
        layer.kind == "Bidirectional" and str(layer.options.get("merge_mode")) in {"sum", "ave"}
    )


def stack_fields(blocks: Sequence[Block], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of all recurrent layers, and the new names of their tensors. Raises UnsupportedNetwork."""
    names: dict[str, str] = {}
    groups: list[list[Block]] = []
    for index, block in enumerate(blocks):
        _require_served(block.layer, is_last=index == len(blocks) - 1)
        names |= _names(block.layer, tensors, index) | block.before.names(f"rnn.before_l{index}")
        if groups and not block.before.fields and _options(groups[-1][0].layer) == _options(block.layer):
            groups[-1].append(block)
        else:
            groups.append([block])
    first, *further = [_stack(group, tensors) for group in groups]
    return {**first, **({"stacks": further} if further else {})}, names


def _names(layer: SavedLayer, tensors: Mapping[str, Tensor], index: int) -> dict[str, str]:
    start = f"{layer.name}."
    local = {name: name.removeprefix(start) for name in tensors if name.startswith(start)}
    return {
        name: f"rnn.{own.replace('_l0', f'_l{index}')}" for name, own in local.items() if not own.startswith("merge.")
    }


def _options(layer: SavedLayer) -> tuple[object, ...]:
    """Return what layers of one stack have in common."""
    keys = ("activation", "recurrent_activation", "use_bias", "reset_after")
    return (cell_of(layer), reads_both(layer), *(layer.options.get(key) for key in keys))


def _require_served(layer: SavedLayer, *, is_last: bool) -> None:
    wrapped = layer.kind == "Bidirectional"
    for key, (plain, remedy) in _REMEDIES.items():
        if key == "go_backwards" and not wrapped:
            continue  # the reader has told the direction
        if layer.options.get(key, plain) != plain:
            raise UnsupportedNetwork(f"{key} of {layer.name} is {layer.options[key]!r}, which is not served: {remedy}")
    merge = str(layer.options.get("merge_mode", "concat"))
    if layer.kind == "Bidirectional" and merge not in _MERGES:
        raise UnsupportedNetwork(
            f"merge_mode of {layer.name} is {merge!r}, which is not served: train it with one of concat, sum, ave"
        )
    if not is_last and not returns_all(layer):
        raise UnsupportedNetwork(f"{layer.name} returns its last output only, in front of another recurrent layer")


def _stack(group: Sequence[Block], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    first = group[0].layer
    cell, options = _cell(first)
    sizes = [tensors[f"{block.layer.name}.weight_hh_l0"].shape[1] for block in group]
    return {
        "cell": cell,
        "num_layers": len(group),
        "input_size": tensors[f"{first.name}.weight_ih_l0"].shape[1],
        "hidden_size": sizes[0] if len(set(sizes)) == 1 else sizes,
        "bias": bool(first.options.get("use_bias", True)),
        "bidirectional": reads_both(first),
        **({"input_layers": group[0].before.fields} if group[0].before.fields else {}),
        **({"cell_options": options} if options else {}),
    }


def _cell(layer: SavedLayer) -> tuple[str | None, dict[str, Any]]:
    """Return the cell of a layer and its options."""
    cell, activation = cell_of(layer), cell_activation(layer, "activation")
    options: dict[str, Any] = {}
    if cell == "rnn_tanh" and activation == "relu":
        cell = "rnn_relu"
    elif activation != "tanh":
        options["activation"] = activation
    if cell in {"lstm", "gru"} and (gate := cell_activation(layer, "recurrent_activation")) != "sigmoid":
        options["gate_activation"] = gate
    if cell == "gru" and not layer.options.get("reset_after", False):
        options["reset"] = "before"
    return cell, options
