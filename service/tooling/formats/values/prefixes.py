"""Prefixes that wrappers of a network leave in the names of its tensors."""

import re
from dataclasses import replace

from service.tooling.formats.network import SavedNetwork

_WRAPPERS = {"module": "DataParallel", "_orig_mod": "torch.compile", "_fsdp_wrapped_module": "FSDP"}
_COMPILED = re.compile(r"(^|\.)(?:_orig_mod|_fsdp_wrapped_module)\.")


def without_wrappers(network: SavedNetwork) -> SavedNetwork:
    """Return the network with the names that its tensors have without DataParallel, torch.compile and FSDP."""
    names, removed = _plain_names([*network.tensors])
    if not removed or len(set(names.values())) != len(names):
        return network
    return replace(
        network,
        tensors={names[name]: tensor for name, tensor in network.tensors.items()},
        layers=tuple(replace(layer, name=_renamed(layer.name, "module" in removed)) for layer in network.layers),
        notes=(*network.notes, *(_note(wrapper) for wrapper in sorted(removed))),
    )


def _plain_names(tensors: list[str]) -> tuple[dict[str, str], set[str]]:
    """Return the names without the prefixes of wrappers, and the prefixes that were removed."""
    names = {name: _COMPILED.sub(r"\1", name) for name in tensors}
    removed = {wrapper for name in names for wrapper in ("_orig_mod", "_fsdp_wrapped_module") if wrapper in name}
    while names and all(name.startswith("module.") for name in names.values()):
        names = {old: name.removeprefix("module.") for old, name in names.items()}
        removed.add("module")
    return names, removed


def _renamed(name: str, is_parallel: bool) -> str:
    plain = _COMPILED.sub(r"\1", f"{name}.")
    return (plain.removeprefix("module.") if is_parallel else plain).strip(".")


def _note(wrapper: str) -> str:
    return f"saved from {_WRAPPERS[wrapper]}: the prefix '{wrapper}.' is left out"
