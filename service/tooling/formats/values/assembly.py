"""The network of a file from the values of its pickle and the bytes of its tensors."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_header import MAX_NAME_CHARACTERS
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.formats.source import Source
from service.tooling.formats.values.description import brief, describe_others
from service.tooling.formats.values.estimators import describe_estimator
from service.tooling.formats.values.modules import Tensors
from service.tooling.formats.values.prefixes import without_wrappers
from service.tooling.formats.values.state_dicts import Place, find_state_dicts
from service.tooling.formats.values.tensors import Storages, StoredTensor, materialize
from service.tooling.formats.values.weight_dropout import without_weight_dropout
from service.tooling.pickles.values import Mentions, PickleError
from service.tooling.progress import tracked

#: Mentioned by files of networks with int8 weights.
_QUANTIZED = "torch._utils._rebuild_qtensor"
_BUILTINS = tuple(f"builtins.{name}" for name in ("set", "frozenset", "dict", "list", "tuple", "bytearray", "object"))
#: Names that ordinary files mention.
_KNOWN = (
    "torch.",
    "__torch__.",
    "collections.",
    "numpy.",
    "_codecs.",
    "argparse.Namespace",
    "pathlib.",
    "copyreg.",
    *_BUILTINS,
)


def assemble(source: Source, saved: object, storages: Storages, mentions: Mentions, kind: str = "") -> SavedNetwork:
    """Return the network among the values of a pickle in `source`; `storages` returns the bytes of its tensors.

    `mentions` is what the pickle imports. `kind` describes the file, by default as a state dict or what contains one.
    Raises ModelFolderError.
    """
    path = source.path
    if _QUANTIZED in mentions.globals:
        raise ModelFolderError(
            f"{path}: found a network whose weights torch.ao.quantization made int8, expected its float weights: save "
            "the state dict of the network before it is quantized, and serve it with --dtype int8"
        )
    try:
        places, copies = find_state_dicts(saved)
    except PickleError as error:
        raise ModelFolderError(f"{path}: found {error}, expected a state dict: names with tensors") from error
    if not places:
        found, expected = describe_estimator(mentions.globals) or (brief(saved), "a state dict: names with tensors")
        raise source.error(found, expected)
    if source.weights == "ema":
        places, copies = _averaged(path, places, copies), places
    stored = _named(places)
    network = SavedNetwork(
        kind or _kind(places),
        {
            name: _tensor(path, name, item, storages)
            for name, item in tracked(f"reading {path.name}", stored.items(), lambda entry: _size(entry[1]))
        },
        tuple(sorted({item.location for item in stored.values() if item.location})),
        tuple(describe_others(saved, [place.path for place in (*places, *copies)])),
        (*_notes(places, copies), *_foreign(mentions)),
        _layers(places),
        saved,
    )
    return without_weight_dropout(without_wrappers(network))


def _layers(places: list[Place]) -> tuple[SavedLayer, ...]:
    """Return the layers of modules that were saved whole, by their names in the network."""
    return tuple(
        replace(layer, name=f"{_prefix(place, places)}{layer.name}".removesuffix("."))
        for place in places
        for layer in place.found.layers
    )


def _averaged(path: Path, places: list[Place], copies: list[Place]) -> list[Place]:
    """Return the copies that hold the average of the weights. Raises ModelFolderError unless there is one of each."""
    averages = [copy for copy in copies if copy.is_average]
    if len(averages) != len(places):
        found = ", ".join(copy.name for copy in averages) or "no copy of the network whose name tells that it is one"
        raise ModelFolderError(
            f"{path}: found {found}, expected the average of the weights, such as ema_state_dict; "
            "--weights plain reads the weights themselves"
        )
    return [replace(copy, found=_without_count(copy.found)) for copy in averages]


def _without_count(found: Tensors) -> Tensors:
    """Return tensors without the count of steps that PyTorch's AveragedModel keeps among them."""
    return replace(found, tensors={name: stored for name, stored in found.tensors.items() if name != "n_averaged"})


def _named(places: list[Place]) -> Mapping[str, StoredTensor]:
    """Return the tensors by name; if there are several state dicts, their paths are prefixes."""
    return {
        f"{_prefix(place, places)}{name}": stored for place in places for name, stored in place.found.tensors.items()
    }


def _prefix(place: Place, places: list[Place]) -> str:
    return f"{place.name}." if len(places) > 1 else ""


def _kind(places: list[Place]) -> str:
    if any(place.found.layers for place in places):
        return "network that was pickled whole (opened without its classes)"
    return "state dict" if places[0].path == () else "training checkpoint"


def _notes(places: list[Place], copies: list[Place]) -> list[str]:
    left_out = [
        f"a copy of the same tensors is left out: {copy.name}{' (--weights ema reads it)' * copy.is_average}"
        for copy in copies
    ]
    if len(places) > 1:
        return [f"several state dicts, named by their places: {', '.join(place.name for place in places)}", *left_out]
    return [*(f"the weights stand under {place.name!r}" for place in places if place.path), *left_out]


def _foreign(mentions: Mentions) -> list[str]:
    """Return a note on the classes and functions of others that a pickle names."""
    names = sorted(name for name in mentions.globals if not name.startswith(_KNOWN))
    return [f"classes and functions that the file names, none of them opened: {', '.join(names)[:1000]}"] * bool(names)


def _tensor(path: Path, name: str, stored: StoredTensor, storages: Storages) -> Tensor:
    """Return a tensor. Raises ModelFolderError for one that cannot be read, and for a name that no file can hold."""
    label = repr(name[:80])
    if len(name) > MAX_NAME_CHARACTERS or not _encodable(name):
        raise ModelFolderError(f"{path}: found the name {label}, expected at most {MAX_NAME_CHARACTERS} characters")
    try:
        return materialize(stored, storages)
    except PickleError as error:
        expected = "" if "expected" in str(error) else ", expected a dense tensor with its values"
        raise ModelFolderError(f"{path}: {label}: found {error}{expected}") from error


def _size(stored: StoredTensor) -> int:
    """Return about how many bytes a tensor takes."""
    return prod(stored.shape) * (4 if stored.dtype is None else stored.dtype.itemsize)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
