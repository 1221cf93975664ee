"""Which recurrent layers and embeddings of a checkpoint read the source, and which write the target: names tell."""

import re

import torch

from service.tooling.inspect.inventory import Inventory, Matrix, UnsupportedNetwork
from service.tooling.inspect.recurrent_layers import RecurrentGroup

SIDES = {"encoder": ("enc", "src", "source"), "decoder": ("dec", "trg", "tgt", "target")}
#: As PyTorch's chatbot tutorial saves them.
WHOLE = {"encoder": ("en",), "decoder": ("de",)}


def side_of(name: str) -> str | None:
    """Return `encoder` or `decoder` by the first word of a dotted name that says so."""
    for word in re.split(r"[._]", name.lower()):
        for side, starts in SIDES.items():
            if word.startswith(starts) or word in WHOLE[side]:
                return side
    return None


def find_sides(groups: tuple[RecurrentGroup, ...]) -> tuple[RecurrentGroup, RecurrentGroup]:
    """Return the encoder and the decoder. Raises Unfit."""
    if len(groups) != 2:
        places = ", ".join(group.prefix or "(no prefix)" for group in groups)
        raise UnsupportedNetwork(f"it has {len(groups)} recurrent groups ({places}), where one of each side is served")
    first, second = groups
    sides = side_of(first.prefix), side_of(second.prefix)
    if sides[0] == sides[1]:
        if first.bidirectional == second.bidirectional:
            raise UnsupportedNetwork(
                f"the names {first.prefix} and {second.prefix} do not tell which of the two is the encoder"
            )
        swapped = second.bidirectional
    else:
        swapped = sides[0] == "decoder" or sides[1] == "encoder"
    encoder, decoder = (second, first) if swapped else (first, second)
    if decoder.bidirectional:
        raise UnsupportedNetwork(f"{decoder.prefix} reads in both directions, which a decoder cannot")
    return encoder, decoder


def find_tables(parts: Inventory) -> tuple[Matrix, Matrix, list[Matrix]]:
    """Return the embeddings of source and target (one and the same if there is one), and copies of them.

    Raises Unfit.
    """
    tables = parts.embeddings
    named = {side: [one for one in tables if side_of(one.name) == side] for side in SIDES}
    if len(tables) == 1 and not (named["encoder"] or named["decoder"]):
        return tables[0], tables[0], []
    if len(named["encoder"]) != 1 or len(named["decoder"]) != 1:
        found = ", ".join(one.name for one in tables)
        raise UnsupportedNetwork(f"the names of its embeddings ({found}) do not give one to each side")
    source, target = named["encoder"][0], named["decoder"][0]
    spare = [one for one in tables if one not in (source, target)]
    for one in spare:
        if not any(same(parts, one, chosen) for chosen in (source, target)):
            raise UnsupportedNetwork(f"{one.name} is a third embedding, equal to neither side's")
    return source, target, spare


def same(parts: Inventory, one: Matrix, other: Matrix) -> bool:
    """Whether two matrices hold the same numbers."""
    return torch.equal(parts.tensors[one.name], parts.tensors[other.name])
