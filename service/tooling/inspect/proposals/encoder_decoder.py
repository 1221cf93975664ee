"""Proposal of the config.json of an encoder-decoder from the parts of a checkpoint, by widths first and names second.

The input width of the output layer tells whether there is attention behind the decoder. The input width of the
decoder's recurrent layers tells whether they have input feeding.
"""

import re
from typing import Any

from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.tooling.inspect.encoder_or_decoder import equal_values, identify_embeddings, identify_sides
from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    Proposal,
    UnsupportedNetwork,
    complete_config,
    stack_fields,
    stack_names,
)
from service.tooling.inspect.proposals.attention import ProposalBuilder, is_attention_name, propose_attention
from service.tooling.inspect.proposals.bridge import propose_bridge
from service.tooling.inspect.proposals.front_attention import propose_front_attention
from service.tooling.inspect.questions.encoder_decoder import ask_encoder_decoder
from service.tooling.inspect.recurrent_layers import RecurrentGroup

COMBINE_NAME = re.compile(r"combine|concat|linear_out|output_proj|tilde|wc\b|attn_out")
PACK_OPTIONS = ("--tokenizer", "FOLDER")
DEFAULT_SPECIAL_TOKENS = {"begin": "<s>", "end": "</s>"}
UNKNOWN = (
    "which marks begin and end a translation: set `special_tokens`; and the tokenizers",
    "whether something acts on the embeddings, such as the relu of PyTorch's tutorial: set `decoder.input_layers`",
)
AMBIGUOUS_COMBINE = (
    "whether the combine layer reads context, then decoder output (served), or the other way round: then rename it to "
    "combine.weight.swapped"
)


def propose_encoder_decoder(parts: Inventory) -> Proposal:
    """Fit the parts to an encoder-decoder. Raises UnsupportedNetwork, naming what cannot be served."""
    encoder, decoder = identify_sides(parts.groups)
    source, target, copies = identify_embeddings(parts)
    builder = _start_proposal(parts, encoder, decoder)
    files = ("source_tokenizer.json", "target_tokenizer.json")
    if source is target:
        builder.names[source.name] = "embedding.weight"
    else:
        builder.names |= {source.name: "encoder.embedding.weight", target.name: "decoder.embedding.weight"}
        builder.names |= {copy.name: "" for copy in copies}
    if equal_values(parts, source, target):
        files = ("tokenizer.json", "tokenizer.json")
    output = _output(builder, target)
    reads = target.columns if output is None else output.columns
    network_fields, decoder_fields = propose_front_attention(
        builder, encoder, decoder, target, reads
    ) or _fields_behind(builder, encoder, decoder, target, reads)
    tied = output is None or equal_values(parts, output, target)
    bridge = propose_bridge(builder, decoder)
    if left := [*(layer.name for layer in builder.linears), *builder.vectors]:
        raise UnsupportedNetwork(f"it has parts that find no place: {', '.join(left)}")
    config = {
        "format_version": 1,
        "task": "translation",
        "architecture": "encoder-decoder",
        "encoder": {**_side(encoder, source, files[0]), "bidirectional": encoder.bidirectional},
        "decoder": {**_side(decoder, target, files[1]), "tie_weights": tied, **decoder_fields},
        "bridge": bridge,
        **network_fields,
        "special_tokens": DEFAULT_SPECIAL_TOKENS,
        "dtype": "float32",
    }
    questions = ask_encoder_decoder(config, [*builder.guessed, "special_tokens"], encoder, decoder, parts.told_cells)
    unknown = (*UNKNOWN, *builder.unknown)
    return Proposal(complete_config(EncoderDecoderConfig, config), builder.names, questions, unknown, PACK_OPTIONS)


def _start_proposal(parts: Inventory, encoder: RecurrentGroup, decoder: RecurrentGroup) -> ProposalBuilder:
    """Return a builder with the recurrent layers assigned. Raises UnsupportedNetwork for tensors of other shapes."""
    vectors = {name: parts.tensors[name].numel() for name in parts.others if parts.tensors[name].dim() == 1}
    if strange := [name for name in parts.others if name not in vectors]:
        raise UnsupportedNetwork(f"it has parts that are not known here: {', '.join(strange)}")
    names = stack_names(encoder, "encoder.rnn") | stack_names(decoder, "decoder.rnn")
    return ProposalBuilder(parts.linears, vectors, names)


def _fields_behind(
    builder: ProposalBuilder, encoder: RecurrentGroup, decoder: RecurrentGroup, target: Matrix, reads: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Identify the layers behind the decoder's recurrent ones, given the input width `reads` of the output layer.

    Return the fields of the network and of its decoder. Raises UnsupportedNetwork.
    """
    query, memory = decoder.output_size, encoder.output_size
    combine = _combine(builder, reads, query, memory)
    attended = _is_attended(reads, combine, query, memory, target)
    fed = _is_fed(builder, decoder, target, reads, memory, attended=attended)
    attention = propose_attention(builder, query, memory) if attended else None
    layer = None if combine is None else {"size": combine.rows, "activation": "tanh"}
    return {"attention": attention, "combine": layer}, {"input_feed": fed}


def _side(group: RecurrentGroup, table: Matrix, file: str) -> dict[str, Any]:
    sizes = {"embedding_size": table.columns, "vocab_size": table.rows, "tokenizer": file}
    return {**stack_fields(group), **sizes}


def _output(builder: ProposalBuilder, target: Matrix) -> Matrix | None:
    """Name the output layer, the last with the target's vocabulary, and return it; None if it is the embedding."""
    layers = [layer for layer in builder.linears if layer.rows == target.rows and not is_attention_name(layer.name)]
    if layers:
        builder.assign(layers[-1], "output")
        return layers[-1]
    for name, size in [*builder.vectors.items()]:
        if size == target.rows and name.endswith("bias"):
            del builder.vectors[name]
            builder.names[name] = "output.bias"
    return None


def _combine(builder: ProposalBuilder, reads: int, query: int, memory: int) -> Matrix | None:
    """Name the layer between attention and output layer, which reads context and decoder output, and return it."""
    combine = _find_combine(builder, reads, query, memory)
    if combine is None:
        return None
    builder.assign(combine, "combine")
    builder.guessed.append("combine")
    if combine.columns != query:
        builder.unknown.append(AMBIGUOUS_COMBINE)
    return combine


def _find_combine(builder: ProposalBuilder, reads: int, query: int, memory: int) -> Matrix | None:
    """Return the last layer with a name and width of a combine layer, or else with the width of one."""
    candidates = [layer for layer in builder.linears if layer.rows == reads]
    named = [layer for layer in candidates if COMBINE_NAME.search(layer.name.lower())]
    if fitting := [layer for layer in named if layer.columns in (query + memory, query)]:
        return fitting[-1]
    fitting = [layer for layer in candidates if layer.columns == query + memory]
    if _has_attention_score(builder):
        # A layer of the attention can have the same size.
        fitting = [layer for layer in fitting if not is_attention_name(layer.name)]
    return fitting[-1] if fitting else None


def _has_attention_score(builder: ProposalBuilder) -> bool:
    rows = {layer.name: layer.rows for layer in builder.linears} | dict.fromkeys(builder.vectors, 1)
    return any(is_attention_name(name) and count == 1 for name, count in rows.items())


def _is_attended(reads: int, combine: Matrix | None, query: int, memory: int, target: Matrix) -> bool:
    """Return whether the output layer reads attended memory, by its width. Raises UnsupportedNetwork."""
    width = reads if combine is None else combine.columns
    if width in (query, query + memory):
        return width != query
    also = " and the embedding, which is not served" if width == query + memory + target.columns else ""
    raise UnsupportedNetwork(
        f"its output layer reads {width} numbers{also}; served is one behind the decoder's {query}, or those and the "
        f"{memory} of attended memory"
    )


def _is_fed(
    builder: ProposalBuilder, decoder: RecurrentGroup, target: Matrix, reads: int, memory: int, *, attended: bool
) -> bool:
    """Return whether the decoder has input feeding. Raises UnsupportedNetwork."""
    beside = decoder.input_size - target.columns
    if not beside:
        return False
    if not attended or beside != reads:
        what = " (attended memory, it seems)" if beside == memory else ""
        raise UnsupportedNetwork(
            f"the decoder's recurrent layers read {beside} numbers{what} beside the {target.columns} of the embedding; "
            "a context in front of the recurrent layers that no attention gives is not served"
        )
    if reads == memory:
        # The last context would be as wide as the last features.
        builder.guessed.append("decoder.input_feed")
    return True
