"""One call that inspects the files of a trained network, packs them and verifies the folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from service.domain.errors import ModelFolderError
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.registry import read_network
from service.tooling.formats.source import Weights
from service.tooling.frameworks.vectors import framework_of
from service.tooling.inspect.graph_report import GraphReport, inspect_graph, is_graph
from service.tooling.inspect.report import Report, inspect_network
from service.tooling.pack.configuration.proposer import stated_task
from service.tooling.pack.example_request import example_request
from service.tooling.pack.framework_golden import AUTO, pack_with_framework
from service.tooling.pack.packer import Packed, pack
from service.tooling.pack.preprocessing import match_preprocessing
from service.tooling.preprocessing.given import read_stated, split_files, split_part


@dataclass(frozen=True, slots=True)
class Imported:
    """The report on the files, and the folder that was written; None if nothing was to be written."""

    report: Report | GraphReport
    packed: Packed | None
    example: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        packed = None if self.packed is None else self.packed.to_dict()
        return {"report": self.report.to_dict(), "packed": packed, "example": self.example, "notes": [*self.notes]}

    def render(self) -> str:
        """Return the report for people."""
        if self.packed is None:
            return "\n".join([self.report.render(), *self.notes])
        return "\n".join(
            [self.packed.render(), *self.notes, *([f"try it with:\n  {self.example}"] if self.example else [])]
        )


def import_files(
    files: Sequence[str],
    target: Path,
    *,
    settings: Mapping[str, object],
    accept: bool = False,
    dry_run: bool = False,
    weights: Weights = "plain",
    vocabularies: Sequence[str] = (),
    scalers: Sequence[str] = (),
    architectures: Sequence[AnyArchitecture] = ARCHITECTURES,
    **options: Any,  # noqa: ANN401 - those of `pack`
) -> Imported:
    """Inspect the files of a network, write the model folder `target`, MODELS/NAME/VERSION, and verify it.

    `files` is one path, or parts as NAME=PATH, whose tensors get the prefix NAME, and files of preprocessing, which are
    recognised by their content. `vocabularies` and `scalers` state such files, each PATH or PART=PATH. With `accept`,
    outputs and features are called as proposed; nothing that decides about numbers is answered by it. With `dry_run`
    nothing is written. `weights` chooses those of a training that keeps their average, too. `options` are those of
    `pack`, where `golden` may be "auto": the framework of the file computes them. Raises ModelFolderError.
    """
    networks, candidates = split_files(files)
    candidates += read_stated(vocabularies, scalers)
    parts = _parts(networks)
    source = next(iter(parts.values()))
    graph = len(parts) == 1 and is_graph(source)
    saved = None if graph else _read(parts, weights)
    report = (
        inspect_graph(source)
        if saved is None
        else inspect_network(
            source, saved, architectures, stated_task(settings, architectures), one_hot=settings.get("one_hot") is True
        )
    )
    matched = match_preprocessing(candidates, report, saved, {**options, "settings": settings}, architectures)
    if dry_run:
        return Imported(report, None, "", tuple(matched.notes))
    words = [word for text in vocabularies for word in ("--vocab", text)]
    words += [word for text in scalers for word in ("--scaler", text)]
    common = {
        **options,
        **matched.options,
        "settings": {**matched.settings, **settings},
        "names_as_proposed": accept,
        "saved": saved,
        "command": ("unroll", "import", *files, str(target), *words),
        "architectures": architectures,
    }
    if options.get("golden") == AUTO:
        packed = pack_with_framework(source, target, saved, common)
        matched.notes.append(f"the golden vectors are those of {framework_of(source, saved)}")
    else:
        packed = pack(source, target.parent.parent, target.parent.name, target.name, **common)
    return Imported(report, packed, example_request(target, architectures), tuple(matched.notes))


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
