"""What a checkpoint consists of beside its recurrent layers, and what a proposal for `pack` says."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.config.loader import with_state
from service.tooling.inspect.recurrent_layers import RecurrentGroup

#: What `pack` needs beside the weights.
EXTRAS = {
    "language-model": ("--vocab", "WORDS"),
    "encoder-decoder": ("--tokenizer", "FOLDER"),
    "forecaster": ("--preprocessor", "FILE"),
}


class UnsupportedNetwork(Exception):
    """The parts do not make a network that is served; the message says why."""


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

    def renamed(self, place: str) -> dict[str, str]:
        """Name its tensors as those of `place`."""
        bias = {} if self.bias is None else {self.bias: f"{place}.bias"}
        return {self.name: f"{place}.weight", **bias}


@dataclass(frozen=True, slots=True)
class Inventory:
    """A checkpoint taken apart; `others` are the names of tensors that are neither recurrent nor matrices."""

    tensors: Mapping[str, Tensor]
    groups: tuple[RecurrentGroup, ...]
    matrices: tuple[Matrix, ...]
    others: tuple[str, ...]

    @property
    def embeddings(self) -> list[Matrix]:
        """The embeddings in the order of the file."""
        return [one for one in self.matrices if one.embedding]

    @property
    def linears(self) -> list[Matrix]:
        """The linear layers in the order of the file."""
        return [one for one in self.matrices if not one.embedding]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A config.json to complete, and how the checkpoint's tensors are called in a model folder ("": left out).

    `guessed` are fields that someone has to state, since the checkpoint cannot tell and each choice would load.
    `unknown` are facts of the forward pass that no field states.
    """

    config: dict[str, Any]
    names: dict[str, str]
    guessed: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"config": self.config, "names": self.names, "guessed": list(self.guessed)}

    def command(self, path: Path) -> str:
        """Return the command that packs the checkpoint at `path`, with the proposed values of what was guessed."""
        words = ["unroll", "pack", str(path), "models/NAME/1"]
        for field in self.guessed:
            value: Any = self.config
            for step in field.split("."):
                value = value[step]
            words += ["--set", f"{field}={value if isinstance(value, str) else json.dumps(value)}"]
        return " ".join([*map(shlex.quote, words), *EXTRAS[self.config["architecture"]]])

    def render(self) -> str:
        """Return the config, one field a line, and the renames that `pack` makes of its own accord."""
        fields = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.config.items())
        renamed = [f"{old} -> {new}" for old, new in self.names.items() if old != new and new]
        lines = [f"renamed: {line}" for line in renamed]
        lines += [f"left out: {old}" for old, new in self.names.items() if not new]
        lines += [f"guessed, and to be stated by you: {name}" for name in self.guessed]
        return "\n".join([f"{{\n{fields}\n}}", *lines])


def take(linears: list[Matrix], columns: int, rows: int | None = None) -> Matrix | None:
    """Remove and return the first linear layer of these sizes."""
    for one in linears:
        if one.columns == columns and rows in (None, one.rows):
            linears.remove(one)
            return one
    return None


def stack_names(group: RecurrentGroup, place: str) -> dict[str, str]:
    """Name a group's tensors as those of `place`."""
    return {name: f"{place}.{local}" for name, local in group.names.items()}


def stack_fields(group: RecurrentGroup) -> dict[str, Any]:
    """Return the fields of config.json that describe a group. Raises Unfit."""
    if not group.cell:
        raise UnsupportedNetwork(f"the shapes of {group.prefix}* fit no cell that is known here")
    sizes = group.hidden_sizes
    return {
        "cell": "rnn_tanh" if group.cell == "rnn" else group.cell,
        "num_layers": len(sizes),
        "input_size": group.input_size,
        "hidden_size": sizes[0] if len(set(sizes)) == 1 else list(sizes),
        "proj_size": group.proj_size,
        "bias": group.bias,
        "connection": "none",
    }


def completed(config: dict[str, Any]) -> dict[str, Any]:
    """Return a proposed config with its `state`. Raises Unfit where its fields do not go together."""
    place = "the proposed config.json"
    try:
        return with_state(config, place)
    except ModelFolderError as error:
        raise UnsupportedNetwork(str(error).removeprefix(f"{place}: ")) from error
