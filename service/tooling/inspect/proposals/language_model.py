"""Proposal of the config.json of a language model from the parts of a checkpoint."""

import contextlib
from typing import NamedTuple

import torch

from service.nets.config.language_model_config import LanguageModelConfig
from service.tooling.inspect.front_layers import find_front, guessed_cells
from service.tooling.inspect.head_layers import (
    HeadLayer,
    Norm,
    find_norms,
    head_fields,
    head_names,
    pop_layers,
    unknown_tensors,
)
from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    Proposal,
    UnsupportedNetwork,
    complete_config,
    pop_linear,
    stack_fields,
    stack_names,
)
from service.tooling.inspect.recurrent_layers import RecurrentGroup
from service.tooling.inspect.vector_layers import VectorLayers, pop_vector_layers, reads_vector

PACK_OPTIONS = ("--vocab", "WORDS")


def propose_language_model(parts: Inventory) -> Proposal:
    """Fit the parts to a language model. Raises UnsupportedNetwork."""
    (group,), embedding = parts.groups, parts.embeddings[0]
    if group.bidirectional:
        raise UnsupportedNetwork("tagging or classification: it reads tokens in both directions")
    if unknown := unknown_tensors(parts):
        raise UnsupportedNetwork(f"a network over tokens with parts that are not known here: {', '.join(unknown)}")
    front = find_front(parts)
    try:
        vector, layers = _place(parts, group, front.reads)
    except UnsupportedNetwork as error:
        raise UnsupportedNetwork(str(error) or _misfit(parts, embedding)) from error
    names = {
        embedding.name: "embedding.weight",
        **stack_names(group, "rnn"),
        **front.names,
        **vector.names,
        **layers.names(),
    }
    if left := [name for name in parts.others if name not in names]:
        raise UnsupportedNetwork(f"a network over tokens with parts that find no place: {', '.join(left)}")
    config = {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        **stack_fields(group),
        **front.fields,
        **vector.fields,
        "input_projection": layers.projection is not None,
        "head": head_fields(layers.head),
        "embedding_size": embedding.columns,
        "vocab_size": embedding.rows,
        "tie_weights": _is_tied(parts, embedding, layers.output),
        "dtype": "float32",
    }
    guessed = [
        *guessed_cells(group),
        *(["convolution"] if "convolution" in front.fields else []),
        *(["head"] if layers.head else []),
        *vector.guessed,
    ]
    return Proposal(complete_config(LanguageModelConfig, config), names, tuple(guessed), pack_options=PACK_OPTIONS)


def _misfit(parts: Inventory, embedding: Matrix) -> str:
    """Return why the parts make no language model."""
    if any(layer.rows == embedding.rows for layer in parts.linears):
        return "a network over tokens whose parts do not follow on one another as a language model's do"
    return "classification or another task over tokens: its output is no vocabulary"


class _Layers(NamedTuple):
    """The linear layers of a language model. `output` is None if the embedding is the output layer too."""

    projection: Matrix | None
    head: list[HeadLayer]
    output: Matrix | None

    def names(self) -> dict[str, str]:
        """Map the tensors of the layers to their names in a model folder."""
        names: dict[str, str] = {}
        if self.projection is not None:
            names |= self.projection.renamed("input_projection")
        if self.output is not None:
            names |= self.output.renamed("output")
        return names | head_names(self.head)


def _place(parts: Inventory, group: RecurrentGroup, reads: int) -> tuple[VectorLayers, _Layers]:
    """Assign the linear layers to their places. Raises UnsupportedNetwork, without a message for parts that misfit.

    Layers whose names do not say that they read a vector do so only if they have no other place.
    """
    rest, norms = parts.linears, find_norms(parts)
    if not reads_vector(rest, group, parts.embeddings[0]):
        with contextlib.suppress(UnsupportedNetwork):
            return VectorLayers(), _arrange(parts, group, reads, [*rest], [*norms])
    vector = pop_vector_layers(rest, norms, group, parts.embeddings[0], [*parts.tensors])
    return vector, _arrange(parts, group, reads, rest, norms)


def _arrange(parts: Inventory, group: RecurrentGroup, reads: int, rest: list[Matrix], norms: list[Norm]) -> _Layers:
    """Assign the linear layers `rest` to their places in a language model of `reads` inputs.

    Raises UnsupportedNetwork.
    """
    embedding, *more = parts.embeddings
    projection = _projection(rest, reads, embedding)
    output = next((layer for layer in rest if layer.rows == embedding.rows), None)
    if output is not None:
        rest.remove(output)
    head = pop_layers(parts, rest, norms, group.output_size)
    width = next((layer.rows for layer in head[::-1] if isinstance(layer, Matrix)), group.output_size)
    if more or rest or (embedding if output is None else output).columns != width:
        raise UnsupportedNetwork
    return _Layers(projection, head, output)


def _is_tied(parts: Inventory, embedding: Matrix, output: Matrix | None) -> bool:
    if output is None:
        return True
    same_shape = output.columns == embedding.columns
    return same_shape and torch.equal(parts.tensors[output.name], parts.tensors[embedding.name])


def _projection(rest: list[Matrix], reads: int, embedding: Matrix) -> Matrix | None:
    """Remove and return the layer between embedding and recurrent layers, if their widths differ.

    Raises UnsupportedNetwork.
    """
    if embedding.columns == reads:
        return None
    projection = pop_linear(rest, embedding.columns, reads)
    if projection is None:
        raise UnsupportedNetwork
    return projection
