"""Finds the weights of an attention behind the decoder's recurrent layers, whoever named them."""

import re
from dataclasses import dataclass, field

from service.tooling.inspect.inventory import Matrix, UnsupportedNetwork

ABOUT = re.compile(r"att|align|energy|score")
#: What multiplies the decoder's output, and what the encoder's memory, in the words of several libraries.
QUERY = {"query", "linear_query", "w_q", "wq", "wa", "linear_in", "input_proj", "query_layer", "decoder_att"}
MEMORY = {"memory", "key", "keys", "linear_context", "w_k", "wk", "ua", "key_layer", "encoder_att", "memory_layer"}
ORDER = (
    "whether the attention's square matrix multiplies the encoder's memory, as proposed, or the decoder's output: then "
    "rename it to attention.weight.T"
)


@dataclass(slots=True)
class ProposalBuilder:
    """A proposal in the making: linear layers and one-dimensional tensors that have no place yet."""

    rest: list[Matrix]
    vectors: dict[str, int]
    names: dict[str, str] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def place(self, matrix: Matrix, name: str) -> None:
        """Give a matrix its name in a model folder."""
        self.rest.remove(matrix)
        self.names |= matrix.renamed(name)


def about_attention(name: str) -> bool:
    """Whether a name says that its tensor belongs to an attention."""
    return ABOUT.search(name.lower()) is not None


def find_attention(draft: ProposalBuilder, query: int, memory: int) -> str:
    """Name the weights that compare `query` with `memory` numbers, and return the kind of attention. Raises Unfit."""
    own = [one for one in draft.rest if about_attention(one.name)]
    scores = [one for one in own if one.rows == 1]
    vectors = [name for name in draft.vectors if about_attention(name)]
    weights = [one for one in own if one not in scores]
    if not (weights or scores or vectors):
        draft.guessed.append("attention")
        return "dot"
    if len(scores) + len(vectors) == 1:
        _additive(draft, weights, query, memory)
        if scores:
            draft.place(scores[0], "attention.score")
        else:
            del draft.vectors[vectors[0]]
            draft.names[vectors[0]] = "attention.score.weight"
        return "additive"
    if len(weights) != 1 or scores or vectors:
        found = ", ".join([*(one.name for one in own), *vectors])
        raise UnsupportedNetwork(f"its attention ({found}) is neither dot nor general nor additive")
    _general(draft, weights[0], query, memory)
    return "general"


def _general(draft: ProposalBuilder, weight: Matrix, query: int, memory: int) -> None:
    """Name the matrix between query and memory; it is kept as one that multiplies the memory. Raises Unfit."""
    shape, word = (weight.rows, weight.columns), _last_word(weight)
    if shape not in ((query, memory), (memory, query)):
        raise UnsupportedNetwork(
            f"{weight.name} multiplies neither {query} numbers of the decoder nor {memory} of the encoder"
        )
    turned = shape == (memory, query) and (query != memory or word in QUERY)
    if turned and weight.bias is not None:
        raise UnsupportedNetwork(
            f"{weight.bias} is added to the decoder's side of a general attention, which has none here"
        )
    if query == memory and word not in QUERY | MEMORY and not weight.name.startswith("attention.weight"):
        draft.guessed.append("attention")
        draft.unknown.append(ORDER)
    draft.rest.remove(weight)
    names = weight.renamed("attention")
    draft.names |= {old: f"{new}.T" if turned and new.endswith("weight") else new for old, new in names.items()}


def _additive(draft: ProposalBuilder, weights: list[Matrix], query: int, memory: int) -> None:
    """Tell the layer over the query from the one over the memory. Raises Unfit."""
    if len(weights) == 1 and weights[0].columns == query + memory:
        raise UnsupportedNetwork(
            f"{weights[0].name} reads decoder output and memory at once: cut its columns into attention.query.weight "
            "and attention.memory.weight, and write a config.json by hand"
        )
    if len(weights) != 2:
        raise UnsupportedNetwork(f"an additive attention has two layers beside its score, found {len(weights)}")
    by_word = {"query": QUERY, "memory": MEMORY}
    found = {role: [one for one in weights if _last_word(one) in words] for role, words in by_word.items()}
    if query != memory:
        found = {
            role: [one for one in weights if one.columns == width]
            for role, width in (("query", query), ("memory", memory))
        }
    if any(len(one) != 1 for one in found.values()):
        both = " and ".join(one.name for one in weights)
        raise UnsupportedNetwork(
            f"the names {both} do not tell which multiplies the decoder's output and which the memory"
        )
    for role, width in (("query", query), ("memory", memory)):
        (layer,) = found[role]
        if (layer.rows, layer.columns) != (query, width):
            shape = f"{layer.columns} -> {layer.rows}"
            raise UnsupportedNetwork(
                f"{layer.name} is {shape}, where an additive attention has {width} -> {query}, the decoder's"
            )
        draft.place(layer, f"attention.{role}")


def _last_word(matrix: Matrix) -> str:
    return matrix.name.lower().removesuffix(".weight").split(".")[-1]
