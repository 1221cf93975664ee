"""Reader of checkpoints: safetensors files and `torch.save` files of plain values. It never runs foreign code.

A file that needs classes of its own software is rejected with their names, which are read from the pickle's
instructions without running them. Training checkpoints are searched for state dicts.
"""

import argparse
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_io import read_tensor_file

HARMLESS = {"collections", "torch._utils", "torch._tensor", "torch.nn.parameter", "torch.storage", "argparse"}
PLAIN_BUILTINS = {"dict", "set", "list", "tuple", "int", "float", "bool", "str", "bytes", "bytearray", "complex"}
StateDicts: TypeAlias = dict[str, dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class StateDict:
    """The tensors of a file by name; `beside` describes its other content, `notes` the changes to the names."""

    kind: str
    tensors: dict[str, Tensor]
    saved_on: tuple[str, ...]
    beside: tuple[str, ...]
    notes: tuple[str, ...]


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a file. Raises ModelFolderError for what cannot be read without running foreign code."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read: {error.strerror}; expected a checkpoint file") from error
    if start[8:] == b"{":
        stored = read_tensor_file(path).tensors
        # safetensors files have no order; that of the names is the order of the layers.
        tensors = {name: stored[name].tensor() for name in sorted(stored, key=_by_number)}
        return _merge("safetensors file", {"": tensors}, (), ())
    devices: set[str] = set()

    def to_cpu(storage: torch.UntypedStorage, device: str) -> torch.UntypedStorage:
        devices.add(device)
        return storage

    saved = _load(path, to_cpu)
    state_dicts = dict(_find_state_dicts(saved, ()))
    if not state_dicts:
        raise ModelFolderError(f"{path}: found {_brief(saved)}, expected a state dict: names with tensors")
    kind = "state dict" if "" in state_dicts else "training checkpoint"
    return _merge(kind, state_dicts, tuple(sorted(devices)), tuple(_describe_others(saved, state_dicts)))


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `head.2` before `head.10`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _load(path: Path, to_cpu: Any) -> object:  # noqa: ANN401 torch's type of map_location is no public name
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # Such as of an unusual pickle protocol: the file can be read, or the error says why not.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=to_cpu, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, LookupError, OSError) as error:
        if foreign := foreign_classes(path):
            raise ModelFolderError(
                f"{path}: found a pickle of foreign classes ({', '.join(foreign)}), expected plain tensors. Opening it "
                "would run code out of the file, so it is not opened here. In the environment of its own software: "
                "load it there, take the network's weights, and save them alone, with torch.save({k: v for k, v in "
                "network.state_dict().items()}, 'weights.pt') or safetensors.torch.save_file"
                "(dict(network.state_dict()), 'weights.safetensors')"
            ) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFolderError(
            f"{path}: found a file that torch.load(weights_only=True) cannot read ({reason[:200]}), expected a state "
            "dict as torch.save writes it, or a safetensors file"
        ) from error


def foreign_classes(path: Path) -> list[str]:
    """Return the classes that a pickle would import beyond tensors and plain values, without running it."""
    names: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.namelist():
                    if entry.endswith("data.pkl"):
                        names.update(_globals(archive.read(entry)))
        else:
            names.update(_globals(path.read_bytes()))
    except (ValueError, zipfile.BadZipFile, OSError):
        # The rest of the file is damaged; the names read so far are valid.
        pass
    return sorted(name for name in names if not _harmless(name))


def _globals(content: bytes) -> Iterator[str]:
    """Yield `module.name` of every import in the pickles that follow each other at the start of `content`."""
    rest = content
    while rest[:1] == b"\x80":
        texts: list[str] = []
        length = 0
        for opcode, argument, position in pickletools.genops(rest):
            length = (position or 0) + 1
            if opcode.name == "GLOBAL":
                yield str(argument).replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                yield f"{texts[-2]}.{texts[-1]}"
            elif isinstance(argument, str):
                texts.append(argument)
        rest = rest[length:]


def _harmless(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if module in {"builtins", "__builtin__"}:
        return attribute in PLAIN_BUILTINS
    return module in HARMLESS or (module == "torch" and (attribute.endswith("Storage") or attribute == "Size"))


def _find_state_dicts(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the path and tensors of every dictionary of tensors by name, except those of an optimizer."""
    if not isinstance(value, dict) or (path and "optim" in path[-1].lower()) or {"state", "param_groups"} <= {*value}:
        return
    tensors = {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, Tensor)}
    if tensors:
        yield ".".join(path), tensors
        return
    for key, item in value.items():
        yield from _find_state_dicts(item, (*path, str(key)))


def _merge(kind: str, parts: StateDicts, devices: tuple[str, ...], beside: tuple[str, ...]) -> StateDict:
    """Merge the state dicts into one. If there are several, their paths are prefixes of the names."""
    notes: list[str] = []
    if len(parts) == 1:
        ((path, tensors),) = parts.items()
        if path:
            notes.append(f"the weights stand under {path!r}")
    else:
        tensors = {f"{path}.{name}": tensor for path, part in parts.items() for name, tensor in part.items()}
        notes.append(f"several state dicts, named by their places: {', '.join(parts)}")
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
        notes.append("saved from DataParallel: the prefix 'module.' is left out")
    return StateDict(kind, {name: tensor.detach() for name, tensor in tensors.items()}, devices, beside, tuple(notes))


def _describe_others(saved: object, parts: StateDicts) -> Iterator[str]:
    """Describe the content of a training checkpoint beside its state dicts, an entry each."""
    if not isinstance(saved, dict) or "" in parts:
        return
    for key, value in saved.items():
        if not any(path == str(key) or path.startswith(f"{key}.") for path in parts):
            yield f"{key}: {_brief(value)}"


def _brief(value: object) -> str:
    """Return a short description of a value."""
    if isinstance(value, argparse.Namespace):
        plain = {k: v for k, v in vars(value).items() if isinstance(v, str | int | float | bool | None)}
        return "argparse.Namespace(" + ", ".join(f"{key}={item!r}" for key, item in plain.items()) + ")"
    return repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
