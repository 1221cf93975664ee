"""Parts of recurrent layers beside their weights: convolutions in front, learned initial states, layers that follow."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from service.tooling.inspect.encoder_or_decoder import side_of
from service.tooling.inspect.inventory import Inventory
from service.tooling.inspect.recurrent_layers import RecurrentGroup

INITIAL_NAME = re.compile(r"(?:^|[._])(?:init(?:ial)?_?)?(h|c)(?:idden|ell)?_?(?:0|state|init)$")


@dataclass(frozen=True, slots=True)
class Front:
    """The fields of config.json and the names of tensors of such parts; `reads` is the width of the network's input."""

    fields: dict[str, Any]
    names: dict[str, str]
    reads: int


def find_front(parts: Inventory) -> Front:
    """Return the convolutions and learned initial states of a network with one recurrent group."""
    (group,) = parts.groups
    fields, names = _convolutions(parts, group)
    reads = parts.tensors[next(iter(names))].shape[1] if names else group.input_size
    initial = _initial_states(parts, group)
    return Front({**fields, **({"initial_state": "learned"} if initial else {})}, names | initial, reads)


def _convolutions(parts: Inventory, group: RecurrentGroup) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the convolutions whose output the recurrent layers read, from the first to the last."""
    entries: list[dict[str, Any]] = []
    chain: list[str] = []
    width = group.input_size
    for name in [name for name in parts.others if parts.tensors[name].dim() == 3 and name.endswith("weight")][::-1]:
        channels, inputs, kernel = parts.tensors[name].shape
        if channels == width:
            bias = f"{name.removesuffix('weight')}bias" in parts.others
            entry = {"channels": channels, "kernel": kernel, "padding": "valid", "activation": "none"}
            entries.insert(0, entry if bias else {**entry, "bias": False})
            chain.insert(0, name)
            width = inputs
    names: dict[str, str] = {}
    for index, name in enumerate(chain):
        names[name] = f"rnn.convolution.{index}.weight"
        bias_name = f"{name.removesuffix('weight')}bias"
        if bias_name in parts.others:
            names[bias_name] = f"rnn.convolution.{index}.bias"
    return ({"convolution": entries} if entries else {}), names


def _initial_states(parts: Inventory, group: RecurrentGroup) -> dict[str, str]:
    """Return the names of learned initial states, of all layers in one tensor each."""
    if len(set(group.hidden_sizes)) > 1 or group.further:
        return {}
    numbers = len(group.hidden_sizes) * group.output_size
    names: dict[str, str] = {}
    for name in parts.others:
        match = INITIAL_NAME.search(name)
        if match and parts.tensors[name].numel() == numbers:
            names[name] = f"rnn.{match[1]}0"
    kinds = {"rnn.h0", "rnn.c0"} if group.cell == "lstm" else {"rnn.h0"}
    return names if {*names.values()} == kinds and len(names) == len(kinds) else {}


def chain_groups(groups: list[RecurrentGroup]) -> list[RecurrentGroup]:
    """Join groups that run one behind the other to one, unless their names tell an encoder from a decoder."""
    if len(groups) < 2 or not all(_follows(a, b) for a, b in pairwise(groups)):
        return groups
    stacks, names, offset = [groups[0]], dict(groups[0].names), len(groups[0].hidden_sizes)
    for group in groups[1:]:
        names |= {name: _shifted(local, offset) for name, local in group.names.items()}
        offset += len(group.hidden_sizes)
        if _kind(group) == _kind(stacks[-1]):
            stacks[-1] = replace(stacks[-1], hidden_sizes=stacks[-1].hidden_sizes + group.hidden_sizes)
        else:
            stacks.append(group)
    prefix = ", ".join(group.prefix for group in groups)
    return [replace(stacks[0], prefix=prefix, names=names, further=tuple(stacks[1:]))]


def _follows(first: RecurrentGroup, second: RecurrentGroup) -> bool:
    """Return whether a group can read the output of another, and no name says encoder or decoder."""
    named = side_of(first.prefix) or side_of(second.prefix)
    return first.output_size == second.input_size and not (first.bidirectional or second.bidirectional or named)


def _kind(group: RecurrentGroup) -> tuple[object, ...]:
    return group.cell, group.bias, group.proj_size


def _shifted(local: str, offset: int) -> str:
    """Return PyTorch's name of a tensor whose layer comes `offset` layers later."""
    return re.sub(r"_l(\d+)", lambda match: f"_l{int(match[1]) + offset}", local)
