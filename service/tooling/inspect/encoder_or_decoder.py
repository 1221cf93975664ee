"""Assignment of recurrent layers and embeddings to the encoder or the decoder, by their names."""

import re

import torch

from service.tooling.inspect.inventory import Inventory, Matrix, UnsupportedNetwork
from service.tooling.inspect.recurrent_layers import RecurrentGroup

SIDES = {"encoder": ("enc", "src", "source"), "decoder": ("dec", "trg", "tgt", "target")}
#: Whole words, as in checkpoints of PyTorch's chatbot tutorial.
WHOLE = {"encoder": ("en",), "decoder": ("de",)}


def side_of(name: str) -> str | None:
    """Return `encoder` or `decoder` by the first word of a dotted name that implies one, or None."""
    for word in re.split(r"[._]", name.lower()):
        for side, starts in SIDES.items():
            if word.startswith(starts) or word in WHOLE[side]:
                return side
    return None


def identify_sides(groups: tuple[RecurrentGroup, ...]) -> tuple[RecurrentGroup, RecurrentGroup]:
    """Return the encoder and the decoder. Raises UnsupportedNetwork."""
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


def identify_embeddings(parts: Inventory) -> tuple[Matrix, Matrix, list[Matrix]]:
    """Return the embeddings of source and target, which are the same if there is one, and copies of them.

    Raises UnsupportedNetwork.
    """
    embeddings = parts.embeddings
    named = {side: [table for table in embeddings if side_of(table.name) == side] for side in SIDES}
    counts = [len(tables) for tables in named.values()]
    if len(embeddings) == 1 and counts == [0, 0]:
        return embeddings[0], embeddings[0], []
    if counts != [1, 1]:
        names = ", ".join(table.name for table in embeddings)
        raise UnsupportedNetwork(f"the names of its embeddings ({names}) do not give one to each side")
    (source,), (target,) = named["encoder"], named["decoder"]
    return source, target, _copies(parts, source, target)


def _copies(parts: Inventory, source: Matrix, target: Matrix) -> list[Matrix]:
    """Return the further embeddings. Raises UnsupportedNetwork if one equals neither `source` nor `target`."""
    copies = [table for table in parts.embeddings if table not in (source, target)]
    for table in copies:
        if not (equal_values(parts, table, source) or equal_values(parts, table, target)):
            raise UnsupportedNetwork(f"{table.name} is a third embedding, equal to neither side's")
    return copies


def equal_values(parts: Inventory, first: Matrix, second: Matrix) -> bool:
    """Return whether two matrices have the same values."""
    return torch.equal(parts.tensors[first.name], parts.tensors[second.name])
