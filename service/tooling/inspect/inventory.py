"""The parts of a checkpoint, and the proposal of a config.json and of tensor names for `pack`."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.architecture_config import ArchitectureConfig
from service.nets.config.loader import with_state
from service.tooling.inspect.questions.question import FollowUp, Question
from service.tooling.inspect.recurrent_layers import RecurrentGroup


class UnsupportedNetwork(Exception):
    """Raised where the parts make no network that is served; the message says why."""


class PartialNetwork(UnsupportedNetwork):
    """Raised for a part of a network, or several networks at once; the message says what to do."""


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
        """The names of weight and bias."""
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

    def renamed(self, place: str) -> dict[str, str]:
        """Map its tensors to the names of a layer `place`."""
        bias = {} if self.bias is None else {self.bias: f"{place}.bias"}
        return {self.name: f"{place}.weight", **bias}


@dataclass(frozen=True, slots=True)
class Inventory:
    """The parts of a checkpoint; `others` are the names of tensors that are neither recurrent nor matrices.

    `told_cells`: the file says itself of which kind its recurrent layers are. `one_hot`: the user says that the inputs
    are tokens as unit vectors.
    """

    tensors: Mapping[str, Tensor]
    groups: tuple[RecurrentGroup, ...]
    matrices: tuple[Matrix, ...]
    others: tuple[str, ...]
    told_cells: bool = False
    one_hot: bool = False

    @property
    def embeddings(self) -> list[Matrix]:
        """The embeddings in the order of the file."""
        return [matrix for matrix in self.matrices if matrix.embedding]

    @property
    def linears(self) -> list[Matrix]:
        """The linear layers in the order of the file."""
        return [matrix for matrix in self.matrices if not matrix.embedding]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed config.json, and the names of the checkpoint's tensors in a model folder ("" for those left out).

    `questions` are those that the user has to answer, since the checkpoint fits several networks.
    `unknown` are properties of the forward pass that no field states. `pack_options` are the options of `pack` for the
    files that the network needs beside its weights. `differences` are inputs that the framework of the file treats
    otherwise than a server of the folder. `follow_ups` are questions that depend on answers.
    """

    config: dict[str, Any]
    names: dict[str, str]
    questions: tuple[Question, ...]
    unknown: tuple[str, ...] = ()
    pack_options: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()

    def asked(self, settings: Mapping[str, object]) -> tuple[Question, ...]:
        """Return the questions, with those that follow from `settings`."""
        fields, asked = {**self.config, **settings}, {*self.guessed}
        further = [one.question for one in self.follow_ups if fields.get(one.field) in one.values]
        return (*self.questions, *(question for question in further if question.field not in asked))

    @property
    def guessed(self) -> tuple[str, ...]:
        """The fields that answer the questions."""
        return tuple(question.field for question in self.questions)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        questions = [question.to_dict() for question in self.questions]
        return {"config": self.config, "names": self.names, "guessed": list(self.guessed), "questions": questions}

    def command(self, path: Path) -> str:
        """Return the command that packs the checkpoint at `path`, with the plain choice of each question."""
        words = ["unroll", "pack", str(path), "models/NAME/1"]
        words += [word for question in self.questions for word in question.flag()]
        return " ".join([*map(shlex.quote, words), *self.pack_options])

    def render(self) -> str:
        """Return the config, one field a line, and the names that `pack` changes."""
        fields = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.config.items())
        renamed = [f"{old} -> {new}" for old, new in self.names.items() if old != new and new]
        lines = [f"renamed: {line}" for line in renamed]
        lines += [f"left out: {old}" for old, new in self.names.items() if not new]
        lines += [f"guessed, and to be stated by you: {asked.field} ({asked.options()})" for asked in self.questions]
        return "\n".join([f"{{\n{fields}\n}}", *lines])


def pop_linear(linears: list[Matrix], columns: int, rows: int | None = None) -> Matrix | None:
    """Remove and return the first linear layer of these sizes."""
    for layer in linears:
        if layer.columns == columns and rows in (None, layer.rows):
            linears.remove(layer)
            return layer
    return None


def stack_names(group: RecurrentGroup, place: str) -> dict[str, str]:
    """Map a group's tensors to the names of a stack `place`."""
    return {name: f"{place}.{local}" for name, local in group.names.items()}


def stack_fields(group: RecurrentGroup) -> dict[str, Any]:
    """Return the fields of config.json that describe a group. Raises UnsupportedNetwork."""
    if not group.cell:
        raise UnsupportedNetwork(f"the shapes of {group.prefix}* fit no cell that is known here")
    sizes = group.hidden_sizes
    further = {"stacks": [stack_fields(stack) for stack in group.further]} if group.further else {}
    return {
        "cell": "rnn_tanh" if group.cell == "rnn" else group.cell,
        "num_layers": len(sizes),
        "input_size": group.input_size,
        "hidden_size": sizes[0] if len(set(sizes)) == 1 else list(sizes),
        "proj_size": group.proj_size,
        "bias": group.bias,
        "connection": "none",
        **({"cell_options": dict(group.cell_options)} if group.cell_options else {}),
        **further,
    }


def complete_config(config_class: type[ArchitectureConfig], config: dict[str, Any]) -> dict[str, Any]:
    """Return a proposed config with its `state`. Raises UnsupportedNetwork if its fields contradict."""
    place = "the proposed config.json"
    try:
        return with_state(config_class, config, place)
    except ModelFolderError as error:
        raise UnsupportedNetwork(str(error).removeprefix(f"{place}: ")) from error
