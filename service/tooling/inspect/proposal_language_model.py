"""From the parts of a checkpoint to the config.json of a language model."""

from typing import Any

import torch

from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    Proposal,
    UnsupportedNetwork,
    completed,
    stack_fields,
    stack_names,
    take,
)
from service.tooling.inspect.recurrent_layers import RecurrentGroup


def propose_language_model(parts: Inventory) -> Proposal:
    """Fit the parts to a language model. Raises Unfit."""
    (group,), (embedding, *more), rest = parts.groups, parts.embeddings, parts.linears
    if group.bidirectional:
        raise UnsupportedNetwork("tagging or classification: it reads tokens in both directions")
    if parts.others:
        raise UnsupportedNetwork(f"a network over tokens with parts that are not known here: {', '.join(parts.others)}")
    vocabulary = any(one.rows == embedding.rows for one in rest)
    try:
        projection = _projection(rest, group, embedding)
        named = {} if projection is None else projection.renamed("input_projection")
        output = next((one for one in rest if one.rows == embedding.rows), None)
        if output is not None:
            rest.remove(output)
            named |= output.renamed("output")
        head = _head(rest, group.output_size, named)
        _check_widths(more, head[-1]["size"] if head else group.output_size, embedding if output is None else output)
    except UnsupportedNetwork as error:
        raise UnsupportedNetwork(
            "a network over tokens whose parts do not follow on one another as a language model's do"
            if vocabulary
            else "classification or another task over tokens: its output is no vocabulary"
        ) from error
    names = {embedding.name: "embedding.weight", **stack_names(group, "rnn"), **named}
    tied = output is None or (
        output.columns == embedding.columns and torch.equal(parts.tensors[output.name], parts.tensors[embedding.name])
    )
    config = {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        **stack_fields(group),
        "input_projection": projection is not None,
        "head": head,
        "embedding_size": embedding.columns,
        "vocab_size": embedding.rows,
        "tie_weights": tied,
        "dtype": "float32",
    }
    guessed = [*(["cell"] if group.cell == "rnn" else []), *(["head"] if head else [])]
    return Proposal(completed(config), names, tuple(guessed))


def _check_widths(more: list[Matrix], width: int, output: Matrix) -> None:
    """Check that one embedding is all there is and that the output layer reads `width` numbers. Raises Unfit."""
    if more or output.columns != width:
        raise UnsupportedNetwork


def _projection(rest: list[Matrix], group: RecurrentGroup, embedding: Matrix) -> Matrix | None:
    """Take the layer between embedding and recurrent layers, where the widths ask for one. Raises Unfit."""
    if embedding.columns == group.input_size:
        return None
    found = take(rest, embedding.columns, group.input_size)
    if found is None:
        raise UnsupportedNetwork
    return found


def _head(rest: list[Matrix], width: int, names: dict[str, str]) -> list[dict[str, Any]]:
    """Chain the layers that are left behind the recurrent ones, and name them. Raises Unfit."""
    head: list[dict[str, Any]] = []
    while rest:
        layer = take(rest, width)
        if layer is None:
            raise UnsupportedNetwork
        names |= layer.renamed(f"head.{len(head)}")
        head.append({"size": layer.rows, "activation": "none"})
        width = layer.rows
    return head
