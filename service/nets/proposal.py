"""From the parts of a checkpoint to the task that they look like, and for a language model to its config.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from service.nets.config import with_state
from service.nets.groups import RecurrentGroup

NOT_SERVED = "a config.json is proposed for next-word language models only, so write it by hand if its task is served"


@dataclass(frozen=True, slots=True)
class Matrix:
    """An embedding or the weight of a linear layer, with the name of its bias."""

    name: str
    embedding: bool
    rows: int
    columns: int
    bias: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors that it stands for."""
        return (self.name,) if self.bias is None else (self.name, self.bias)

    def render(self) -> str:
        """Describe it in a line."""
        if self.embedding:
            return f"{self.name}: embedding of {self.rows} entries, {self.columns} wide"
        return f"{self.name}: linear {self.columns} -> {self.rows}, {'with' if self.bias else 'without'} bias"

    def to_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        kind = "embedding" if self.embedding else "linear"
        return {"name": self.name, "kind": kind, "rows": self.rows, "columns": self.columns, "bias": self.bias}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A config.json to complete, and how the checkpoint's tensors are called in a model folder.

    `guessed` are fields that someone has to state, since the checkpoint cannot tell and each choice would load.
    """

    config: dict[str, Any]
    names: dict[str, str]
    guessed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"config": self.config, "names": self.names, "guessed": list(self.guessed)}

    def render(self) -> str:
        """Return the config, one field a line, and the renames that `pack` makes of its own accord."""
        fields = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.config.items())
        renamed = [f"{old} -> {new}" for old, new in self.names.items() if old != new]
        lines = [f"renamed: {line}" for line in renamed]
        lines += [f"guessed, and to be stated by you: {name}" for name in self.guessed]
        return "\n".join([f"{{\n{fields}\n}}", *lines])


def propose(
    tensors: Mapping[str, Tensor],
    groups: tuple[RecurrentGroup, ...],
    matrices: tuple[Matrix, ...],
    others: tuple[str, ...],
) -> tuple[str, Proposal | None]:
    """Return what the checkpoint looks like, and a proposal where that is a language model."""
    if not groups:
        return "no recurrent network: no weight_ih and weight_hh that belong together", None
    embeddings = [one for one in matrices if one.embedding]
    linears = [one for one in matrices if not one.embedding]
    if len(groups) > 1:
        kind = "an encoder-decoder, such as translation" if embeddings else "several networks or a nested one"
        return f"{kind}: {len(groups)} recurrent groups; {NOT_SERVED}", None
    if not embeddings:
        return f"{_numeric(groups[0], linears)}; {NOT_SERVED}", None
    proposal = _language_model(tensors, groups[0], embeddings, linears) if not others else None
    if proposal is not None:
        return "a language model over words or other tokens (task next-word)", proposal
    vocabulary = any(one.rows == embeddings[0].rows for one in linears)
    return f"{_over_tokens(groups[0], others, vocabulary=vocabulary)}; {NOT_SERVED}", None


def _over_tokens(group: RecurrentGroup, others: tuple[str, ...], *, vocabulary: bool) -> str:
    """Describe a network that reads tokens and is no language model."""
    if group.bidirectional:
        return "tagging or classification: it reads tokens in both directions"
    if others:
        return f"a network over tokens with parts that are not known here: {', '.join(others)}"
    if vocabulary:
        return "a network over tokens whose parts do not follow on one another as a language model's do"
    return "classification or another task over tokens: its output is no vocabulary"


def _numeric(group: RecurrentGroup, linears: list[Matrix]) -> str:
    """Describe a network without an embedding by what it reads and answers."""
    before = [one for one in linears if one.rows == group.input_size and linears.index(one) == 0 and len(linears) > 1]
    reads = before[0].columns if before else group.input_size
    behind = [one for one in linears if one not in before]
    answers = behind[-1].rows if behind else group.output_size
    unsure = "" if behind else " (no linear layer behind the recurrent ones)"
    return (
        f"forecasting, regression or classification: it reads {reads} number{'s' * (reads != 1)} "
        f"per timestep and answers {answers}{unsure}"
    )


def _language_model(
    tensors: Mapping[str, Tensor], group: RecurrentGroup, embeddings: list[Matrix], linears: list[Matrix]
) -> Proposal | None:
    """Fit the parts to a language model; None where they do not fit."""
    if len(embeddings) != 1 or group.bidirectional or not group.cell:
        return None
    embedding, rest, names = embeddings[0], list(linears), {embeddings[0].name: "embedding.weight"}
    projection = None
    if embedding.columns != group.input_size:
        projection = _take(rest, embedding.columns, group.input_size)
        if projection is None or projection.bias is None:
            return None
        names |= _renamed(projection, "input_projection")
    output = next((one for one in rest if one.rows == embedding.rows), None)
    if output is not None:
        rest.remove(output)
        names |= _renamed(output, "output")
    width, head = group.output_size, []
    for index in range(len(rest)):
        layer = _take(rest, width, None)
        if layer is None or layer.bias is None:
            return None
        names |= _renamed(layer, f"head.{index}")
        head.append({"size": layer.rows, "activation": "none"})
        width = layer.rows
    if width != (embedding.columns if output is None else output.columns):
        return None
    tied = output is None or (
        output.columns == embedding.columns and torch.equal(tensors[output.name], tensors[embedding.name])
    )
    names |= {name: f"rnn.{local}" for name, local in group.names.items()}
    config = _config(group, embedding, tied=tied, projected=projection is not None, head=head)
    guessed = [*(["cell"] if group.cell == "rnn" else []), *(["head"] if head else [])]
    return Proposal(with_state(config, "the proposed config.json"), names, tuple(guessed))


def _take(linears: list[Matrix], columns: int, rows: int | None) -> Matrix | None:
    """Remove and return the first linear layer of these sizes."""
    for one in linears:
        if one.columns == columns and rows in (None, one.rows):
            linears.remove(one)
            return one
    return None


def _renamed(matrix: Matrix, place: str) -> dict[str, str]:
    bias = {} if matrix.bias is None else {matrix.bias: f"{place}.bias"}
    return {matrix.name: f"{place}.weight", **bias}


def _config(
    group: RecurrentGroup, embedding: Matrix, *, tied: bool, projected: bool, head: list[dict[str, object]]
) -> dict[str, Any]:
    sizes = group.hidden_sizes
    config: dict[str, Any] = {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        "cell": "rnn_tanh" if group.cell == "rnn" else group.cell,
        "num_layers": len(sizes),
        "input_size": group.input_size,
        "hidden_size": sizes[0] if len(set(sizes)) == 1 else list(sizes),
        "proj_size": group.proj_size,
        "bias": group.bias,
        "connection": "none",
        "input_projection": projected,
        "head": head,
        "embedding_size": embedding.columns,
        "vocab_size": embedding.rows,
        "tie_weights": tied,
        "dtype": "float32",
    }
    return config
