"""Reader of checkpoints: safetensors files and `torch.save` files of plain values. It never runs foreign code.

A file that needs classes of its own software is rejected with their names, which are read from the pickle's
instructions without running them. Training checkpoints are searched for state dicts.
"""

import argparse
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.domain.files import file_size, open_file, unreadable
from service.model_folder.memory import require_memory
from service.model_folder.safetensors_header import MAX_NAME_CHARACTERS
from service.model_folder.safetensors_io import read_tensor_file
from service.tooling.pickles.address_space import limited_address_space
from service.tooling.pickles.pickle_scan import scan_pickles

EXPECTED = "a checkpoint file"
#: Memory for loading a pickle: some for the library, and some for each byte of the file.
MEMORY_BYTES = 2**29
MEMORY_PER_BYTE = 4
#: Dictionaries, and entries beside the weights, that are looked at.
MAX_DICTIONARIES = 10_000
MAX_ENTRIES = 500
#: Characters of a value, and digits of a number in a name, that a report shows and orders names by.
MAX_SHOWN = 500
MAX_DIGITS = 18
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
    with open_file(path, EXPECTED) as file:
        require_memory(path, file_size(file))
        try:
            start = file.read(9)
        except OSError as error:
            raise unreadable(path, error, EXPECTED) from error
        if start[8:] != b"{":
            return _read_pickled(path, file)
    stored = read_tensor_file(path).tensors
    # safetensors files have no order; that of the names is the order of the layers.
    tensors = {name: stored[name].tensor() for name in sorted(stored, key=_by_number)}
    return _merge("safetensors file", {"": tensors}, (), ())


def _read_pickled(path: Path, file: BinaryIO) -> StateDict:
    devices: set[str] = set()

    def to_cpu(storage: torch.UntypedStorage, device: str) -> torch.UntypedStorage:
        devices.add(device)
        return storage

    saved = _load(path, file, to_cpu)
    state_dicts = dict(_find_state_dicts(path, saved))
    if not state_dicts:
        raise ModelFolderError(f"{path}: found {_brief(saved)}, expected a state dict: names with tensors")
    for tensors in state_dicts.values():
        _check_tensors(path, tensors)
    kind = "state dict" if "" in state_dicts else "training checkpoint"
    return _merge(kind, state_dicts, tuple(sorted(devices)), tuple(_describe_others(saved, state_dicts)))


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `head.2` before `head.10`."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() and len(part) <= MAX_DIGITS else (0, part) for part in parts]


def _load(path: Path, file: BinaryIO, to_cpu: Any) -> object:  # noqa: ANN401 torch's type of map_location is no public name
    imports = scan_pickles(path, file)
    try:
        with (
            torch.serialization.safe_globals([argparse.Namespace]),
            warnings.catch_warnings(),
            limited_address_space(MEMORY_PER_BYTE * file_size(file) + MEMORY_BYTES),
        ):
            # Such as of an unusual pickle protocol: the file can be read, or the error says why not.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=to_cpu, weights_only=True)
    except Exception as error:
        if foreign := sorted({name for name in imports if not _harmless(name)}):
            raise ModelFolderError(
                f"{path}: found a pickle of foreign classes ({', '.join(foreign)[:1000]}), expected plain tensors. "
                "Opening it would run code out of the file, so it is not opened here. In the environment of its own "
                "software: load it there, take the network's weights, and save them alone, with torch.save({k: v for "
                "k, v in network.state_dict().items()}, 'weights.pt') or safetensors.torch.save_file"
                "(dict(network.state_dict()), 'weights.safetensors')"
            ) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFolderError(
            f"{path}: found a file that torch.load(weights_only=True) cannot read ({reason[:200]}), expected a state "
            "dict as torch.save writes it, or a safetensors file"
        ) from error


def _harmless(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if module in {"builtins", "__builtin__"}:
        return attribute in PLAIN_BUILTINS
    return module in HARMLESS or (module == "torch" and (attribute.endswith("Storage") or attribute == "Size"))


def _find_state_dicts(path: Path, saved: object) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the path and tensors of every dictionary of tensors by name, except those of an optimizer.

    Raises ModelFolderError for too many dictionaries: each can stand in many places, and contain others.
    """
    waiting: list[tuple[tuple[str, ...], object]] = [((), saved)]
    for _ in range(MAX_DICTIONARIES):
        if not waiting:
            return
        names, value = waiting.pop()
        if not isinstance(value, dict) or _belongs_to_optimizer(names, value):
            continue
        tensors = {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, Tensor)}
        if tensors:
            yield ".".join(names), tensors
        else:
            inner = [((*names, _shown(key)), item) for key, item in value.items() if isinstance(item, dict)]
            waiting += reversed(inner)
    raise ModelFolderError(f"{path}: found more than {MAX_DICTIONARIES} dictionaries, expected a state dict")


def _belongs_to_optimizer(names: tuple[str, ...], value: dict[object, object]) -> bool:
    return bool(names and "optim" in names[-1].lower()) or {"state", "param_groups"} <= {*value}


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse what is no dense tensor in memory, or larger than its storage, and names that no file can hold."""
    for name, tensor in tensors.items():
        shown = repr(name[:80])
        if len(name) > MAX_NAME_CHARACTERS or not _encodable(name):
            raise ModelFolderError(f"{path}: found the name {shown}, expected at most {MAX_NAME_CHARACTERS} characters")
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_nested:
            raise ModelFolderError(
                f"{path}: {shown}: found another kind of tensor, expected a dense one with its values"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelFolderError(
                f"{path}: {shown}: found shape {str([*tensor.shape])[:80]}, expected no more numbers than are stored"
            )


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    for key, value in islice(saved.items(), MAX_ENTRIES):
        name = _shown(key)
        if not any(path == name or path.startswith(f"{name}.") for path in parts):
            yield f"{name}: {_brief(value)}"


def _brief(value: object) -> str:
    """Return a short description of a value."""
    if isinstance(value, argparse.Namespace):
        plain = {k: v for k, v in vars(value).items() if isinstance(v, str | int | float | bool | None)}
        parts = [f"{_shown(key)}={_shown(repr(item))}" for key, item in islice(plain.items(), MAX_ENTRIES)]
        return "argparse.Namespace(" + ", ".join(parts) + ")"
    plain_value = isinstance(value, str | int | float | bool | None)
    return _shown(repr(value)) if plain_value else f"a {type(value).__name__}"


def _shown(value: object) -> str:
    """Return a value of a checkpoint as reports show it: a text as it is, of other objects only simple ones."""
    text = str(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
