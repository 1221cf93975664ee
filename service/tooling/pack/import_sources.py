"""The files given to `import`, as the network that they hold and what they say of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.registry import read_network
from service.tooling.formats.source import Weights
from service.tooling.inspect.graph_report import is_graph
from service.tooling.preprocessing.contents import Found
from service.tooling.preprocessing.given import Candidate, read_stated, split_files, split_part
from service.tooling.training_runs.registry import take_run
from service.tooling.training_runs.run import TrainingRun


@dataclass(frozen=True, slots=True)
class ImportedSources:
    """The network of the files, None for an ONNX graph at `path`, and contents of the files of its preprocessing.

    The folder of a training run also gives fields of config.json, and notes on what it is.
    """

    path: Path
    saved: SavedNetwork | None
    candidates: list[Candidate]
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_sources(
    files: Sequence[str], vocabularies: Sequence[str], scalers: Sequence[str], weights: Weights
) -> ImportedSources:
    """Return what is in the files. Raises ModelFolderError."""
    given, run = take_run(files)
    networks, candidates = split_files(given)
    candidates += read_stated(vocabularies, scalers)
    if run is not None:
        # Those of the folder, unless other weights are given too.
        networks = [text for text in networks if text != str(run.weights)] or networks
    parts = _parts(networks)
    path = next(iter(parts.values()))
    if len(parts) == 1 and is_graph(path):
        return ImportedSources(path, None, candidates)
    read = ImportedSources(path, _read(parts, weights), candidates)
    return read if run is None else _of_run(run, read)


def _of_run(run: TrainingRun, read: ImportedSources) -> ImportedSources:
    """Return the network of a run with what its folder says. Raises ModelFolderError for another network."""
    saved = None if read.saved is None else run.adapt(read.path, read.saved)
    scaler = [] if run.scaler is None else [Candidate("features", Found("", run.scaler), given=False)]
    notes = (f"{run.kind}, with the weights of {read.path.name}", *run.notes)
    return ImportedSources(read.path, saved, [*read.candidates, *scaler], run.settings, notes)


def _parts(files: Sequence[str]) -> dict[str, Path]:
    """Return the paths by the names of their parts. Raises ModelFolderError for several files without names."""
    parts: dict[str, Path] = {}
    for text in files:
        name, path = split_part(text)
        if len(files) > 1 and not name:
            raise ModelFolderError(f"{text}: found several files, expected the part of each: encoder=FILE decoder=FILE")
        if name in parts:
            raise ModelFolderError(f"{text}: found the part {name} again, expected each part once")
        parts[name] = path
    return parts


def _read(parts: Mapping[str, Path], weights: Weights) -> SavedNetwork:
    """Return the network of all parts; the names of parts are prefixes of the names of their tensors."""
    networks = {name: read_network(path, weights=weights) for name, path in parts.items()}
    if [*networks] == [""]:
        return networks[""]
    named = [_prefixed(name, network) for name, network in networks.items()]
    return SavedNetwork(
        "several files",
        dict(chain.from_iterable(part.tensors.items() for part in named)),
        tuple(sorted(set(chain.from_iterable(part.saved_on for part in named)))),
        tuple(chain.from_iterable(part.beside for part in named)),
        tuple(chain.from_iterable(part.notes for part in named)),
        tuple(chain.from_iterable(part.layers for part in named)),
    )


def _prefixed(name: str, network: SavedNetwork) -> SavedNetwork:
    """Return a network whose tensors, layers and texts begin with the name of its part."""
    return replace(
        network,
        tensors={f"{name}.{key}": tensor for key, tensor in network.tensors.items()},
        beside=tuple(f"{name}: {text}" for text in network.beside),
        notes=tuple(f"{name}: {text}" for text in network.notes),
        layers=tuple(replace(layer, name=f"{name}.{layer.name}".strip(".")) for layer in network.layers),
    )
