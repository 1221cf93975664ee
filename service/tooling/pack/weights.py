"""Conversion of a checkpoint's tensors to those of a model folder: names, shapes and dtype."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from service.domain.errors import ModelFolderError
from service.model_folder.safetensors_weights import expected_shapes
from service.nets.config.architecture_config import ArchitectureConfig
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.architecture_tools import tools_of
from service.tooling.formats.network import SavedNetwork
from service.tooling.pack.recurrent_weights import convert_recurrent
from service.tooling.pack.weight_conversion import transpose_marked

FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def parse_map(text: str) -> tuple[re.Pattern[str], str]:
    """Split OLD=NEW; OLD is a regular expression. Raises ModelFolderError."""
    old, separator, new = text.partition("=")
    try:
        pattern = re.compile(old)
    except re.error as error:
        raise ModelFolderError(
            f"map {text!r}: found a broken regular expression ({error}), expected OLD=NEW"
        ) from error
    if not separator or not old:
        raise ModelFolderError(f"map {text!r}: found no name on the left of =, expected OLD=NEW")
    return pattern, new


def rename_tensors(
    source: Path, tensors: Mapping[str, Tensor], maps: Sequence[str], proposed: Mapping[str, str]
) -> dict[str, Tensor]:
    """Apply every OLD=NEW in order to every name; a name that none of them changes becomes its `proposed` name.

    Tensors with an empty name are left out. Proposed names are applied at once, so that none is renamed twice. Raises
    ModelFolderError.
    """
    patterns = [parse_map(text) for text in maps]
    renamed: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for old, tensor in tensors.items():
        name = old
        for pattern, new in patterns:
            try:
                name = pattern.sub(new, name)
            except (re.error, IndexError) as error:
                raise ModelFolderError(f"map {pattern.pattern}={new}: found {error}, expected groups of OLD") from error
        name = proposed.get(old, old) if name == old else name
        if name in origin:
            raise ModelFolderError(
                f"{source}: found {origin[name]} and {old} both renamed to {name}, expected one each"
            )
        if name:
            renamed[name], origin[name] = tensor, old
    return renamed


def without_vector_layers(saved: SavedNetwork, maps: Sequence[str]) -> SavedNetwork:
    """Return a network without the tensors that `maps` make layers over a vector, which `inspect` takes for others."""
    mapped = {name: name for name in saved.tensors}
    for text in maps:
        pattern, new = parse_map(text)
        with contextlib.suppress(re.error, IndexError):  # `rename_tensors` says what is wrong
            mapped = {name: pattern.sub(new, place) for name, place in mapped.items()}
    kept = {name: tensor for name, tensor in saved.tensors.items() if not mapped[name].startswith("vector.")}
    return replace(saved, tensors=kept)


def _with_timesteps(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the weights of linear layers that stand for convolutions over a single timestep, with that axis."""
    return {
        name: tensors[name][..., None]
        for name, shape in shapes.items()
        if ".convolution." in name and name in tensors and (*tensors[name].shape, 1) == tuple(shape)
    }


def conform(
    source: Path, tensors: dict[str, Tensor], spec: AnyArchitecture, config: ArchitectureConfig
) -> tuple[dict[str, Tensor], list[str]]:
    """Return exactly the tensors of the configured network, and notes on the changes. Raises ModelFolderError."""
    shapes, tools = expected_shapes(spec, config), tools_of(spec)
    # Batch normalisations count the batches of training.
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
    notes = [*transpose_marked(source, tensors), *convert_recurrent(source, tensors, shapes)]
    notes += tools.convert(source, tensors, config)
    tensors.update(_with_timesteps(tensors, shapes))
    # A missing bias is a bias of zeros; a bias under another name is reported as an extra tensor.
    for name in [name for name in shapes if name.endswith(".bias") and name not in tensors]:
        tensors[name] = torch.zeros(shapes[name])
        notes.append(f"{name} is written as zeros: the checkpoint's layer has none")
    _require_names(source, tensors, shapes)
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            actual, reason = [*tensors[name].shape], tools.explain_shape(name, config)
            raise ModelFolderError(
                f"{source}: {name}: found shape {actual}, expected {[*shape]} of config.json's sizes{reason}"
            )
    return tensors, notes


def _require_names(source: Path, tensors: Mapping[str, object], shapes: Mapping[str, object]) -> None:
    """Raise ModelFolderError unless the checkpoint has exactly the tensors of the network."""
    advice = "rename tensors with --map OLD=NEW, leave one out with --map OLD="
    if missing := [name for name in shapes if name not in tensors]:
        raise ModelFolderError(f"{source}: {missing[0]}: found only {_list(tensors)}, expected it too; {advice}")
    if extra := [name for name in tensors if name not in shapes]:
        raise ModelFolderError(f"{source}: {extra[0]}: found this tensor, expected only {_list(shapes)}; {advice}")


def cast(source: Path, name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the tensor in `dtype`. Raises ModelFolderError if the dtype cannot represent its numbers."""
    if tensor.dtype not in FLOATS:
        raise ModelFolderError(f"{source}: {name}: found {tensor.dtype}, expected floating-point weights")
    stored = tensor.to(dtype)
    if bool((torch.isinf(stored) & torch.isfinite(tensor)).any()):
        largest = float(tensor.abs().max())
        raise ModelFolderError(f"{source}: {name}: found numbers up to {largest:.4g}, expected what {dtype} can hold")
    return stored


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(names)
