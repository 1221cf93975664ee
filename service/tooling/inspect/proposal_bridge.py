"""Finds the layers from the encoder's last state to the decoder's first."""

import re

from service.tooling.inspect.encoder_or_decoder import side_of
from service.tooling.inspect.inventory import UnsupportedNetwork
from service.tooling.inspect.proposal_attention import ProposalBuilder
from service.tooling.inspect.recurrent_layers import RecurrentGroup


def find_bridge(draft: ProposalBuilder, decoder: RecurrentGroup) -> str:
    """Name the layers from the encoder's last state to the decoder's first. Raises Unfit."""
    found = [one for one in draft.rest if side_of(one.name) == "encoder" or _called_bridge(one.name)]
    if not found:
        return "concat"
    kinds = ("h", "c") if decoder.cell == "lstm" else ("h",)
    wanted = [f"{kind}_l{layer}" for layer in range(len(decoder.hidden_sizes)) for kind in kinds]
    if len(found) != len(wanted):
        names = ", ".join(one.name for one in found)
        raise UnsupportedNetwork(
            f"between the sides stand {names}, where one layer for each of {', '.join(wanted)} is served"
        )
    for state in wanted:
        kind, _, layer = state.partition("_l")
        fits = [one for one in found if re.search(rf"\b{kind}\w*_l{layer}\b", one.name)]
        if not fits and len(decoder.hidden_sizes) == 1:
            fits = [one for one in found if _of_cell(one.name) == (kind == "c")]
        if len(fits) != 1:
            raise UnsupportedNetwork(
                f"no name of {', '.join(one.name for one in found)} tells which gives the decoder's {state}"
            )
        draft.place(fits[0], f"bridge.{state}")
    draft.guessed.append("bridge")
    draft.unknown.append("whether an activation follows the layers between the sides (none is served)")
    return "linear"


def _of_cell(name: str) -> bool:
    return "cell" in name.lower() or name.endswith("_c.weight")


def _called_bridge(name: str) -> bool:
    return re.search(r"bridge|hidden|cell|init|enc2dec", name.lower()) is not None
