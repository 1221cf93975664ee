"""Proposal of the attention behind the decoder's recurrent layers, under the names of several libraries."""

import re
from dataclasses import dataclass, field

from service.tooling.inspect.inventory import Matrix, UnsupportedNetwork

ATTENTION_NAME = re.compile(r"att|align|energy|score")
#: Names of the weights over the decoder's output and over the encoder's memory in several libraries.
QUERY_NAMES = {"query", "linear_query", "w_q", "wq", "wa", "linear_in", "input_proj", "query_layer", "decoder_att"}
MEMORY_NAMES = {
    *("memory", "key", "keys", "linear_context", "w_k", "wk", "ua", "key_layer", "encoder_att", "memory_layer"),
}
AMBIGUOUS_ORIENTATION = (
    "whether the attention's square matrix multiplies the encoder's memory, as proposed, or the decoder's output: then "
    "rename it to attention.weight.T"
)


@dataclass(slots=True)
class ProposalBuilder:
    """An incomplete proposal, with the linear layers and one-dimensional tensors that are not assigned yet."""

    linears: list[Matrix]
    vectors: dict[str, int]
    names: dict[str, str] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def assign(self, matrix: Matrix, name: str) -> None:
        """Assign a matrix to its name in a model folder."""
        self.linears.remove(matrix)
        self.names |= matrix.renamed(name)


def is_attention_name(name: str) -> bool:
    """Return whether a name says that its tensor belongs to an attention."""
    return ATTENTION_NAME.search(name.lower()) is not None


def propose_attention(builder: ProposalBuilder, query: int, memory: int) -> str:
    """Name the weights of an attention between `query` and `memory` numbers, and return its kind.

    Raises UnsupportedNetwork.
    """
    layers = [layer for layer in builder.linears if is_attention_name(layer.name)]
    weights = [layer for layer in layers if layer.rows != 1]
    scores = [layer for layer in layers if layer.rows == 1]
    vectors = [name for name in builder.vectors if is_attention_name(name)]
    match len(weights), len(scores) + len(vectors):
        case 0, 0:
            builder.guessed.append("attention")
            return "dot"
        case 1, 0:
            _general(builder, weights[0], query, memory)
            return "general"
        case _, 1:
            _additive(builder, weights, query, memory)
            _name_score(builder, scores, vectors)
            return "additive"
    names = ", ".join([*(layer.name for layer in layers), *vectors])
    raise UnsupportedNetwork(f"its attention ({names}) is neither dot nor general nor additive")


def _name_score(builder: ProposalBuilder, scores: list[Matrix], vectors: list[str]) -> None:
    """Name the weight that gives the score, a layer with one output or a vector."""
    if scores:
        builder.assign(scores[0], "attention.score")
        return
    del builder.vectors[vectors[0]]
    builder.names[vectors[0]] = "attention.score.weight"


def _general(builder: ProposalBuilder, weight: Matrix, query: int, memory: int) -> None:
    """Name the matrix between query and memory, which a model folder stores as one that multiplies the memory.

    Raises UnsupportedNetwork.
    """
    shape, word = (weight.rows, weight.columns), _last_word(weight)
    if shape not in ((query, memory), (memory, query)):
        raise UnsupportedNetwork(
            f"{weight.name} multiplies neither {query} numbers of the decoder nor {memory} of the encoder"
        )
    square = query == memory
    transposed = word in QUERY_NAMES if square else shape == (memory, query)
    if transposed and weight.bias is not None:
        raise UnsupportedNetwork(
            f"{weight.bias} is added to the decoder's side of a general attention, which has none here"
        )
    if square and word not in QUERY_NAMES | MEMORY_NAMES and not weight.name.startswith("attention.weight"):
        builder.guessed.append("attention")
        builder.unknown.append(AMBIGUOUS_ORIENTATION)
    builder.assign(weight, "attention")
    if transposed:
        builder.names[weight.name] = "attention.weight.T"


def _additive(builder: ProposalBuilder, weights: list[Matrix], query: int, memory: int) -> None:
    """Name the layers over query and memory. Raises UnsupportedNetwork."""
    if len(weights) == 1 and weights[0].columns == query + memory:
        raise UnsupportedNetwork(
            f"{weights[0].name} reads decoder output and memory at once: cut its columns into attention.query.weight "
            "and attention.memory.weight, and write a config.json by hand"
        )
    if len(weights) != 2:
        raise UnsupportedNetwork(f"an additive attention has two layers beside its score, found {len(weights)}")
    widths = {"query": query, "memory": memory}
    for role, layer in zip(widths, _query_and_memory(weights, query, memory), strict=True):
        if (layer.rows, layer.columns) != (query, widths[role]):
            shape = f"{layer.columns} -> {layer.rows}"
            raise UnsupportedNetwork(
                f"{layer.name} is {shape}, where an additive attention has {widths[role]} -> {query}, the decoder's"
            )
        builder.assign(layer, f"attention.{role}")


def _query_and_memory(weights: list[Matrix], query: int, memory: int) -> tuple[Matrix, Matrix]:
    """Return the layers over query and memory, identified by their widths or else by their names.

    Raises UnsupportedNetwork.
    """
    if query == memory:
        over_query, over_memory = (
            [layer for layer in weights if _last_word(layer) in names] for names in (QUERY_NAMES, MEMORY_NAMES)
        )
    else:
        over_query, over_memory = ([layer for layer in weights if layer.columns == width] for width in (query, memory))
    if len(over_query) != 1 or len(over_memory) != 1:
        names = " and ".join(layer.name for layer in weights)
        raise UnsupportedNetwork(
            f"the names {names} do not tell which multiplies the decoder's output and which the memory"
        )
    return over_query[0], over_memory[0]


def _last_word(matrix: Matrix) -> str:
    return matrix.name.lower().removesuffix(".weight").split(".")[-1]
