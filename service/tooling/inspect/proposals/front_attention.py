"""Proposal of an attention in front of the decoder's recurrent layers, which read the embedding and a context."""

import re
from typing import Any

from service.tooling.inspect.inventory import Matrix
from service.tooling.inspect.proposals.attention import ProposalBuilder, is_attention_name, propose_attention
from service.tooling.inspect.recurrent_layers import RecurrentGroup

#: Layers behind the decoder, as with input feeding.
COMBINE_NAME = re.compile(r"combine|concat|linear_out|tilde|attn_out", re.IGNORECASE)
FRONT: dict[str, Any] = {"attention_place": "front", "combine": None}


def propose_front_attention(
    builder: ProposalBuilder, encoder: RecurrentGroup, decoder: RecurrentGroup, target: Matrix, reads: int
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Name the weights of an attention in front, given the input width `reads` of the output layer.

    Return the fields of the network and of its decoder, or None if the parts have none.
    """
    query, memory, embedding = decoder.output_size, encoder.output_size, target.columns
    layers = [layer for layer in builder.linears if is_attention_name(layer.name)]
    readout = _readout(query, memory, embedding, reads)
    if not layers or readout is None:
        return None
    if _is_fixed(layers, (embedding + query, embedding + memory, decoder.input_size)):
        return _fixed(builder, *layers)
    if decoder.input_size != embedding + memory or any(COMBINE_NAME.search(layer.name) for layer in builder.linears):
        return None
    if readout != ["output"]:
        builder.guessed.append("readout")
    return {**FRONT, "attention": _assign(builder, layers, query, memory), "readout": readout}, {}


def _assign(builder: ProposalBuilder, layers: list[Matrix], query: int, memory: int) -> str:
    """Name the weights of attention over any number of positions, and return its kind."""
    combined = [layer for layer in layers if (layer.rows, layer.columns) == (query, query + memory)]
    scores = [layer for layer in layers if layer.rows == 1]
    if len(layers) == 2 and len(combined) == len(scores) == 1:
        builder.assign(combined[0], "attention.combined")
        builder.assign(scores[0], "attention.score")
        return "additive"
    return propose_attention(builder, query, memory)


def _readout(query: int, memory: int, embedding: int, reads: int) -> list[str] | None:
    """Return what an output layer of this width reads, None if it is none of the usual."""
    parts = {query: ["output"], query + memory: ["output", "context"]}
    return {query + memory + embedding: ["output", "context", "embedding"], **parts}.get(reads)


def _is_fixed(layers: list[Matrix], widths: tuple[int, int, int]) -> bool:
    """Return whether the layers are the two of PyTorch's older tutorial: over positions, over embedding and context."""
    if len(layers) != 2:
        return False
    (score, combine), (query, context, inputs) = layers, widths
    return score.columns == query and (combine.columns, combine.rows) == (context, inputs) and score.rows > 1


def _fixed(builder: ProposalBuilder, score: Matrix, combine: Matrix) -> tuple[dict[str, Any], dict[str, Any]]:
    """Name the layers of attention over fixed positions."""
    builder.assign(score, "attention.score")
    builder.assign(combine, "decoder.rnn.before_l0.0")
    builder.guessed.append("decoder.input_layers")
    fields = {**FRONT, "attention": "fixed", "attention_length": score.rows}
    return fields, {"input_layers": [{"size": combine.rows, "activation": "relu"}]}
