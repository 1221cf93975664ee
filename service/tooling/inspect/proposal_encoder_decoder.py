"""From the parts of a checkpoint to the config.json of an encoder-decoder, by widths first and names second.

What the output layer reads tells whether there is attention behind the decoder; what the decoder's recurrent layers
read tells whether something is fed to them beside the embedding.
"""

import re
from typing import Any, NamedTuple

from service.tooling.inspect.encoder_or_decoder import find_sides, find_tables, same
from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    Proposal,
    UnsupportedNetwork,
    completed,
    stack_fields,
    stack_names,
)
from service.tooling.inspect.proposal_attention import ProposalBuilder, about_attention, find_attention
from service.tooling.inspect.proposal_bridge import find_bridge
from service.tooling.inspect.recurrent_layers import RecurrentGroup

COMBINE = re.compile(r"combine|concat|linear_out|output_proj|tilde|wc\b|attn_out")
MARKS = {"begin": "<s>", "end": "</s>"}
UNKNOWN = (
    "which marks begin and end a translation: set `special_tokens`; and the tokenizers",
    "whether something acts on the embeddings, such as the relu in the decoder of PyTorch's tutorial (not served)",
)
COMBINED = (
    "whether the combine layer reads context, then decoder output (served), or the other way round: then rename it to "
    "combine.weight.swapped"
)


def propose_encoder_decoder(parts: Inventory) -> Proposal:
    """Fit the parts to an encoder-decoder. Raises Unfit with what cannot be served."""
    encoder, decoder = find_sides(parts.groups)
    source, target, copies = find_tables(parts)
    draft = _draft(parts, encoder, decoder)
    files = ("source_tokenizer.json", "target_tokenizer.json")
    if source is target:
        draft.names[source.name] = "embedding.weight"
    else:
        draft.names |= {source.name: "encoder.embedding.weight", target.name: "decoder.embedding.weight"}
        draft.names |= {one.name: "" for one in copies}
    if same(parts, source, target):
        files = ("tokenizer.json", "tokenizer.json")
    output = _output(draft, target)
    behind = _behind(draft, encoder, decoder, target, target.columns if output is None else output.columns)
    tied = output is None or same(parts, output, target)
    bridge = find_bridge(draft, decoder)
    if left := [*(one.name for one in draft.rest), *draft.vectors]:
        raise UnsupportedNetwork(f"it has parts that find no place: {', '.join(left)}")
    config = {
        "format_version": 1,
        "task": "translation",
        "architecture": "encoder-decoder",
        "encoder": {**_side(encoder, source, files[0]), "bidirectional": encoder.bidirectional},
        "decoder": {**_side(decoder, target, files[1]), "input_feed": behind.fed, "tie_weights": tied},
        "bridge": bridge,
        "attention": behind.attention,
        "combine": behind.combine,
        "special_tokens": MARKS,
        "dtype": "float32",
    }
    return Proposal(completed(config), draft.names, (*draft.guessed, "special_tokens"), (*UNKNOWN, *draft.unknown))


def _draft(parts: Inventory, encoder: RecurrentGroup, decoder: RecurrentGroup) -> ProposalBuilder:
    """Begin with the recurrent layers placed. Raises Unfit for tensors of shapes that no part here has."""
    vectors = {name: parts.tensors[name].numel() for name in parts.others if parts.tensors[name].dim() == 1}
    if strange := [name for name in parts.others if name not in vectors]:
        raise UnsupportedNetwork(f"it has parts that are not known here: {', '.join(strange)}")
    names = stack_names(encoder, "encoder.rnn") | stack_names(decoder, "decoder.rnn")
    sides = (("encoder", encoder), ("decoder", decoder))
    return ProposalBuilder(
        parts.linears, vectors, names, [f"{side}.cell" for side, group in sides if group.cell == "rnn"]
    )


class _Behind(NamedTuple):
    """What stands between the decoder's recurrent layers and the output layer, as fields of config.json."""

    attention: str | None
    combine: dict[str, Any] | None
    fed: bool


def _behind(
    draft: ProposalBuilder, encoder: RecurrentGroup, decoder: RecurrentGroup, target: Matrix, reads: int
) -> _Behind:
    """Find it by what the output layer `reads`. Raises Unfit."""
    query, memory = decoder.output_size, encoder.output_size
    combine = _combine(draft, reads, query, memory)
    attended = _is_attended(reads, combine, query, memory, target)
    fed = _is_fed(draft, decoder, target, reads, memory, attended=attended)
    attention = find_attention(draft, query, memory) if attended else None
    return _Behind(attention, None if combine is None else {"size": combine.rows, "activation": "tanh"}, fed)


def _side(group: RecurrentGroup, table: Matrix, file: str) -> dict[str, Any]:
    sizes = {"embedding_size": table.columns, "vocab_size": table.rows, "tokenizer": file}
    return {**stack_fields(group), **sizes}


def _output(draft: ProposalBuilder, target: Matrix) -> Matrix | None:
    """Take the layer that answers with the target's vocabulary, the last of them; None when it is the embedding."""
    found = [one for one in draft.rest if one.rows == target.rows and not about_attention(one.name)]
    if found:
        draft.place(found[-1], "output")
        return found[-1]
    for name, size in [*draft.vectors.items()]:
        if size == target.rows and name.endswith("bias"):
            del draft.vectors[name]
            draft.names[name] = "output.bias"
    return None


def _combine(draft: ProposalBuilder, reads: int, query: int, memory: int) -> Matrix | None:
    """Take the layer between attention and output layer, which reads context and decoder output."""
    joint = [one for one in draft.rest if (one.rows, one.columns) == (reads, query + memory)]
    scored = any(about_attention(name) for name in draft.vectors) or any(
        one.rows == 1 and about_attention(one.name) for one in draft.rest
    )
    called = [one for one in draft.rest if one.rows == reads and COMBINE.search(one.name.lower())]
    found = [one for one in called if one.columns in (query + memory, query)]
    found = found or [one for one in joint if not (scored and about_attention(one.name))]
    if not found:
        return None
    draft.place(found[-1], "combine")
    draft.guessed.append("combine")
    if found[-1].columns != query:
        draft.unknown.append(COMBINED)
    return found[-1]


def _is_attended(reads: int, combine: Matrix | None, query: int, memory: int, target: Matrix) -> bool:
    """Tell by its width whether attended memory stands behind the decoder. Raises Unfit."""
    width = reads if combine is None else combine.columns
    if width in (query, query + memory):
        return width != query
    also = " and the embedding, which is not served" if width == query + memory + target.columns else ""
    raise UnsupportedNetwork(
        f"its output layer reads {width} numbers{also}; served is one behind the decoder's {query}, or those and the "
        f"{memory} of attended memory"
    )


def _is_fed(
    draft: ProposalBuilder, decoder: RecurrentGroup, target: Matrix, reads: int, memory: int, *, attended: bool
) -> bool:
    """Tell whether the last features are fed back beside the embedding. Raises Unfit."""
    beside = decoder.input_size - target.columns
    if not beside:
        return False
    if not attended or beside != reads:
        what = " (attended memory, it seems)" if beside == memory else ""
        raise UnsupportedNetwork(
            f"the decoder's recurrent layers read {beside} numbers{what} beside the {target.columns} of the embedding; "
            "attention or a context in front of the recurrent layers is not served, only behind them"
        )
    if reads == memory:
        # The last context would be as wide as the last features.
        draft.guessed.append("decoder.input_feed")
    return True
