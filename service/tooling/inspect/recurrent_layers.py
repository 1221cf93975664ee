"""Recurrent layers among named tensors, identified by PyTorch's parameter names and by their shapes."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor

NAME = re.compile(r"^(.*?)(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)(?:_l(\d+)(_reverse)?)?$")
KINDS = {4: "lstm", 3: "gru", 1: "rnn"}


@dataclass(frozen=True, slots=True)
class RecurrentGroup:
    """Stacked layers of one kind, and `further` ones of other kinds behind them.

    `names` maps each tensor to PyTorch's name within a stack (`weight_ih_l0`). `cell` is `lstm`, `gru`, `rnn` (tanh or
    relu, which shapes do not tell) or empty where the shapes fit none. `kept_outputs` is the number of outputs of the
    network that are a part of the state of its only layer, with the `cell_options` that this takes.
    """

    prefix: str
    cell: str
    input_size: int
    hidden_sizes: tuple[int, ...]
    proj_size: int
    bidirectional: bool
    bias: bool
    names: dict[str, str] = field(repr=False)
    further: tuple["RecurrentGroup", ...] = ()
    kept_outputs: int = 0
    cell_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def output_size(self) -> int:
        """The output width of the last layer."""
        if self.further:
            return self.further[-1].output_size
        return (self.proj_size or self.hidden_sizes[-1]) * (2 if self.bidirectional else 1)

    def render(self) -> str:
        """Describe it in a line."""
        sizes = self.hidden_sizes[0] if len(set(self.hidden_sizes)) == 1 else list(self.hidden_sizes)
        count = len(self.hidden_sizes)
        parts = [
            f"{self.prefix or '(no prefix)'}: {self.cell.upper() or 'unknown cell'} {self.input_size} -> {sizes}",
            f"{count} layer{'s' if count > 1 else ''}",
            "bidirectional" if self.bidirectional else "one direction",
            "with bias" if self.bias else "without bias",
        ]
        own = ", ".join(parts + ([f"projected to {self.proj_size}"] if self.proj_size else []))
        return "; then ".join([own, *(group.render() for group in self.further)])

    def to_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return {
            "prefix": self.prefix,
            "cell": self.cell or None,
            "num_layers": len(self.hidden_sizes),
            "input_size": self.input_size,
            "hidden_size": list(self.hidden_sizes) if len(set(self.hidden_sizes)) > 1 else self.hidden_sizes[0],
            "proj_size": self.proj_size,
            "bidirectional": self.bidirectional,
            "bias": self.bias,
            **({"further": [group.to_dict() for group in self.further]} if self.further else {}),
        }


def find_groups(tensors: Mapping[str, Tensor]) -> list[RecurrentGroup]:
    """Return the recurrent groups in the order of the file."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for name in tensors:
        if match := NAME.match(name):
            prefix, kind, layer, reverse = match.groups()
            parts[prefix][name] = f"{kind}_l{layer or 0}{reverse or ''}"
    groups = [group for prefix, names in parts.items() if (group := _group(prefix, names, tensors)) is not None]
    return _chain(groups)


def _group(prefix: str, names: dict[str, str], tensors: Mapping[str, Tensor]) -> RecurrentGroup | None:
    """Read the layers of one module; return None if its matrices are missing."""
    parameters = {local: tensors[name] for name, local in names.items()}
    depth = 0
    while {f"weight_ih_l{depth}", f"weight_hh_l{depth}"} <= parameters.keys():
        depth += 1
    if not depth or any(tensor.dim() != 2 for local, tensor in parameters.items() if local.startswith("weight")):
        return None
    projection = parameters.get("weight_hr_l0")
    hidden_sizes = tuple(_hidden_size(parameters, layer) for layer in range(depth))
    return RecurrentGroup(
        prefix,
        _cell(parameters, hidden_sizes),
        parameters["weight_ih_l0"].shape[1],
        hidden_sizes,
        0 if projection is None else projection.shape[0],
        any(local.endswith("_reverse") for local in parameters),
        "bias_ih_l0" in parameters,
        names,
    )


def _cell(parameters: Mapping[str, Tensor], hidden_sizes: tuple[int, ...]) -> str:
    """Return the kind of cell by the number of its gates, or "" if the layers differ or it is not known."""
    ratios = {parameters[f"weight_ih_l{layer}"].shape[0] / size for layer, size in enumerate(hidden_sizes)}
    gates = ratios.pop()
    return KINDS.get(int(gates), "") if not ratios and gates.is_integer() else ""


def _hidden_size(own: Mapping[str, Tensor], layer: int) -> int:
    """Return the columns of the projection, else of the recurrent matrix; at least 1, even for damaged shapes."""
    projection = own.get(f"weight_hr_l{layer}")
    matrix = own[f"weight_hh_l{layer}"] if projection is None else projection
    return max(matrix.shape[1], 1)


def _chain(groups: list[RecurrentGroup]) -> list[RecurrentGroup]:
    """Join `name.0.`, `name.1.`, ... of one layer each to one stack, if each reads the output of the one before."""
    lists: dict[str, list[RecurrentGroup]] = defaultdict(list)
    for group in groups:
        match = re.match(r"^(.*?)\d+\.(?:\w+\.)?$", group.prefix)
        lists[match[1] if match and len(group.hidden_sizes) == 1 else group.prefix].append(group)
    joined: list[RecurrentGroup] = []
    for prefix, members in lists.items():
        ordered = sorted(members, key=_index)
        fits = all(a.output_size == b.input_size and _kind(a) == _kind(b) for a, b in pairwise(ordered))
        joined += [_join(prefix, ordered)] if len(ordered) > 1 and fits else members
    return joined


def _index(group: RecurrentGroup) -> int:
    return int((re.findall(r"(\d+)\.", group.prefix) or ["0"])[-1])


def _kind(group: RecurrentGroup) -> tuple[object, ...]:
    return group.cell, group.bias, group.bidirectional, group.proj_size


def _join(prefix: str, members: list[RecurrentGroup]) -> RecurrentGroup:
    names = {
        name: local.replace("_l0", f"_l{layer}")
        for layer, member in enumerate(members)
        for name, local in member.names.items()
    }
    hidden = tuple(member.hidden_sizes[0] for member in members)
    first = members[0]
    return RecurrentGroup(
        prefix, first.cell, first.input_size, hidden, first.proj_size, first.bidirectional, first.bias, names
    )
