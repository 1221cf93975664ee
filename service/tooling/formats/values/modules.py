"""Modules that were pickled whole: their tensors by the names of a state dict, and the layers that they consist of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from service.tooling.formats.network import SavedLayer
from service.tooling.formats.values.tensors import StoredTensor, stored_tensor
from service.tooling.pickles.values import Instance, PickleError

#: Modules of one network.
MAX_MODULES = 10_000
#: Classes of TorchScript archives begin so.
SCRIPT = "__torch__."


@dataclass(slots=True)
class Tensors:
    """Tensors of a file that belong together, and the layers that hold them."""

    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    layers: list[SavedLayer] = field(default_factory=list)


def is_module(value: object) -> bool:
    """Return whether a value is a module of PyTorch that was pickled whole, or one of TorchScript."""
    if not isinstance(value, Instance):
        return False
    return value.name.startswith(SCRIPT) or {"_parameters", "_modules"} <= value.attributes.keys()


def read_module(module: Instance) -> Tensors:
    """Return the tensors and layers of a module. Raises PickleError for too many modules."""
    result = Tensors()
    waiting: list[tuple[str, Instance]] = [("", module)]
    entered: set[int] = set()
    while waiting:
        prefix, current = waiting.pop()
        if id(current) in entered:
            continue
        entered.add(id(current))
        if len(entered) > MAX_MODULES:
            raise PickleError(f"more than {MAX_MODULES} modules")
        attributes = current.attributes
        for name, value in _own_tensors(attributes):
            if (stored := stored_tensor(value)) is not None:
                result.tensors[f"{prefix}{name}"] = stored
        result.layers.append(SavedLayer(prefix.removesuffix("."), _kind(current.name), _options(attributes)))
        waiting += reversed([(f"{prefix}{name}.", inner) for name, inner in _children(attributes)])
    return result


def _own_tensors(attributes: dict[Any, Any]) -> Iterator[tuple[str, object]]:
    """Yield parameters and buffers; a module of TorchScript holds them as attributes."""
    if not _is_plain(attributes):
        yield from ((name, value) for name, value in attributes.items() if isinstance(name, str))
        return
    hidden = attributes.get("_non_persistent_buffers_set")
    for group in ("_parameters", "_buffers"):
        entries = attributes.get(group)
        for name, value in entries.items() if isinstance(entries, dict) else ():
            if isinstance(name, str) and not (isinstance(hidden, set) and name in hidden):
                yield name, value


def _children(attributes: dict[Any, Any]) -> Iterator[tuple[str, Instance]]:
    children = attributes["_modules"] if _is_plain(attributes) else attributes
    for name, value in children.items() if isinstance(children, dict) else ():
        if isinstance(name, str) and is_module(value):
            yield name, value


def _is_plain(attributes: dict[Any, Any]) -> bool:
    return {"_parameters", "_modules"} <= attributes.keys()


def _kind(name: str) -> str:
    """Return the class of a layer: `LSTM` for PyTorch's own, else the full name. TorchScript adds a number to names."""
    if name.startswith(SCRIPT):
        return re.sub(r"\.?___torch_mangle_\d+", "", name.removeprefix(SCRIPT)).removeprefix(".")
    return name.rpartition(".")[2] if name.startswith("torch.nn.modules.") else name


def _options(attributes: dict[Any, Any]) -> dict[str, object]:
    """Return the settings of a layer that are plain values."""
    plain = (str, int, float, bool, type(None))
    return {
        name: value
        for name, value in attributes.items()
        if isinstance(name, str) and not name.startswith("_") and name != "training" and isinstance(value, plain)
    }
