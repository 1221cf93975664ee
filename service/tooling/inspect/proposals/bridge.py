"""Proposal of the bridge from the encoder's final state to the decoder's initial state."""

import re

from service.tooling.inspect.encoder_or_decoder import side_of
from service.tooling.inspect.inventory import Matrix, UnsupportedNetwork
from service.tooling.inspect.proposals.attention import ProposalBuilder
from service.tooling.inspect.recurrent_layers import RecurrentGroup


def propose_bridge(builder: ProposalBuilder, decoder: RecurrentGroup) -> str:
    """Name the layers from the encoder's final state to the decoder's initial state, and return the kind of bridge.

    Raises UnsupportedNetwork.
    """
    layers = [layer for layer in builder.linears if _is_bridge(layer.name)]
    if not layers:
        return "concat"
    kinds = ("h", "c") if decoder.cell == "lstm" else ("h",)
    states = [f"{kind}_l{layer}" for layer in range(len(decoder.hidden_sizes)) for kind in kinds]
    if len(layers) != len(states):
        names = ", ".join(layer.name for layer in layers)
        raise UnsupportedNetwork(
            f"between the sides stand {names}, where one layer for each of {', '.join(states)} is served"
        )
    for state in states:
        builder.assign(_layer_of(state, layers, decoder), f"bridge.{state}")
    builder.guessed.append("bridge_activation")
    return "linear"


def _layer_of(state: str, layers: list[Matrix], decoder: RecurrentGroup) -> Matrix:
    """Return the layer whose name says that it gives `state`. Raises UnsupportedNetwork."""
    kind, _, index = state.partition("_l")
    matches = [layer for layer in layers if re.search(rf"\b{kind}\w*_l{index}\b", layer.name)]
    if not matches and len(decoder.hidden_sizes) == 1:
        matches = [layer for layer in layers if _of_cell(layer.name) == (kind == "c")]
    if len(matches) != 1:
        names = ", ".join(layer.name for layer in layers)
        raise UnsupportedNetwork(f"no name of {names} tells which gives the decoder's {state}")
    return matches[0]


def _of_cell(name: str) -> bool:
    return "cell" in name.lower() or name.endswith("_c.weight")


def _is_bridge(name: str) -> bool:
    return side_of(name) == "encoder" or re.search(r"bridge|hidden|cell|init|enc2dec", name.lower()) is not None
