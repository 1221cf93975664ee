"""Proposal of the config.json of a language model from the parts of a checkpoint."""

import contextlib
from typing import Any, NamedTuple

import torch

from service.nets.config.language_model_config import LanguageModelConfig
from service.tooling.inspect.encoder_or_decoder import side_of
from service.tooling.inspect.front_layers import find_front
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
    PartialNetwork,
    Proposal,
    UnsupportedNetwork,
    complete_config,
    pop_linear,
    stack_fields,
    stack_names,
)
from service.tooling.inspect.proposals.unknown_parts import describe_unknown
from service.tooling.inspect.questions.forward_pass import ask_convolution, ask_forward_pass, ask_vector, boolean
from service.tooling.inspect.questions.meaning import ask_one_hot
from service.tooling.inspect.questions.question import Question
from service.tooling.inspect.recurrent_layers import RecurrentGroup
from service.tooling.inspect.vector_layers import VectorLayers, pop_vector_layers, reads_vector

PACK_OPTIONS = ("--vocab", "WORDS")
_TIED = "whether the embedding is the output layer too"
_ENCODER = (
    "an embedding and recurrent layers without an output layer, such as the encoder of a language model (fastai's "
    "AWD-LSTM) or of a translation alone: save the state dict of the whole network and give that file, or, to serve it "
    "as it is, state --set task=embedding, or --set task=next-word if the embedding is the output layer too"
)
_DECODER = (
    "the decoder of an encoder-decoder alone ({reads} inputs, of which the embedding has {embedding}): give the "
    "encoder too, as `unroll import encoder=FILE decoder=FILE MODELS/NAME/VERSION`"
)


class _Table(NamedTuple):
    """What reads the tokens: an embedding of a name, or unit vectors without one."""

    name: str
    rows: int
    columns: int

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of config.json."""
        return {**({} if self.name else {"one_hot": True}), "embedding_size": self.columns, "vocab_size": self.rows}


def propose_language_model(parts: Inventory, *, whole: bool = False) -> Proposal:
    """Fit the parts to a language model. Raises UnsupportedNetwork.

    `whole`: the user says that nothing is missing, so that the embedding of a network without an output layer is it.
    """
    (group,) = parts.groups
    if group.bidirectional:
        raise UnsupportedNetwork("tagging or classification: it reads tokens in both directions")
    if unknown := unknown_tensors(parts):
        raise UnsupportedNetwork(f"a network over tokens with {describe_unknown(parts, unknown)}")
    front = find_front(parts)
    table = _table(parts, front.reads)
    if not whole:
        _require_whole(parts, group, table)
    try:
        vector, layers = _place(parts, group, front.reads, table)
    except UnsupportedNetwork as error:
        raise UnsupportedNetwork(str(error) or _misfit(parts, table)) from error
    names = {**({table.name: "embedding.weight"} if table.name else {}), **stack_names(group, "rnn")}
    names |= front.names | vector.names | layers.names()
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
        **table.fields,
        "tie_weights": _is_tied(parts, table, layers.output),
        "dtype": "float32",
    }
    questions = tuple(_questions(config, parts, vector, layers.output))
    return Proposal(complete_config(LanguageModelConfig, config), names, questions, pack_options=PACK_OPTIONS)


def _questions(config: dict[str, Any], parts: Inventory, vector: VectorLayers, output: Matrix | None) -> list[Question]:
    return [
        *([] if parts.embeddings else ask_one_hot(config["vocab_size"], plain=True)),
        *([boolean("tie_weights", _TIED, plain=True)] if output is None else []),
        *ask_convolution(config.get("convolution", [])),
        *ask_vector(config.get("vector", {}), vector.guessed),
        *ask_forward_pass(config, parts, "the output layer" if output is None else output.name.removesuffix(".weight")),
    ]


def _table(parts: Inventory, reads: int) -> _Table:
    if not parts.embeddings:
        return _Table("", reads, reads)
    embedding = parts.embeddings[0]
    return _Table(embedding.name, embedding.rows, embedding.columns)


def _require_whole(parts: Inventory, group: RecurrentGroup, table: _Table) -> None:
    """Raise PartialNetwork for the half of an encoder-decoder, and for the encoder of a language model alone."""
    if not parts.linears:
        raise PartialNetwork(_ENCODER)
    projected = any(layer.columns == table.columns for layer in parts.linears)
    if table.name and group.input_size > table.columns and not projected and side_of(group.prefix) != "encoder":
        raise PartialNetwork(_DECODER.format(reads=group.input_size, embedding=table.columns))


def _misfit(parts: Inventory, table: _Table) -> str:
    """Return why the parts make no language model."""
    if any(layer.rows == table.rows for layer in parts.linears):
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


def _place(parts: Inventory, group: RecurrentGroup, reads: int, table: _Table) -> tuple[VectorLayers, _Layers]:
    """Assign the linear layers to their places. Raises UnsupportedNetwork, without a message for parts that misfit.

    Layers whose names do not say that they read a vector do so only if they have no other place.
    """
    rest, norms = parts.linears, find_norms(parts)
    if not reads_vector(rest, group, table.columns):
        with contextlib.suppress(UnsupportedNetwork):
            return VectorLayers(), _arrange(parts, group, reads, [*rest], [*norms], table=table)
    vector = pop_vector_layers(rest, norms, group, table.columns, [*parts.tensors])
    return vector, _arrange(parts, group, reads, rest, norms, table=table)


def _arrange(
    parts: Inventory, group: RecurrentGroup, reads: int, rest: list[Matrix], norms: list[Norm], *, table: _Table
) -> _Layers:
    """Assign the linear layers `rest` to their places in a language model of `reads` inputs.

    Raises UnsupportedNetwork.
    """
    more = parts.embeddings[1:]
    projection = _projection(rest, reads, table)
    output = next((layer for layer in rest if layer.rows == table.rows), None)
    if output is not None:
        rest.remove(output)
    head = pop_layers(parts, rest, norms, group.output_size)
    width = next((layer.rows for layer in head[::-1] if isinstance(layer, Matrix)), group.output_size)
    if more or rest or (table if output is None else output).columns != width:
        raise UnsupportedNetwork
    return _Layers(projection, head, output)


def _is_tied(parts: Inventory, table: _Table, output: Matrix | None) -> bool:
    if output is None:
        return True
    same_shape = bool(table.name) and output.columns == table.columns
    return same_shape and torch.equal(parts.tensors[output.name], parts.tensors[table.name])


def _projection(rest: list[Matrix], reads: int, table: _Table) -> Matrix | None:
    """Remove and return the layer between embedding and recurrent layers, if their widths differ.

    Raises UnsupportedNetwork.
    """
    if table.columns == reads:
        return None
    projection = pop_linear(rest, table.columns, reads)
    if projection is None:
        raise UnsupportedNetwork
    return projection
