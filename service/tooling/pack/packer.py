"""Conversion of a checkpoint to a model folder, models/<name>/<version>/.

All files are written to a hidden folder beside the final one, then loaded and checked as a server does, and the folder
is renamed at the end. A version is therefore complete or absent, and never replaced.
"""

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from service.domain.errors import ModelFolderError
from service.domain.files import sync
from service.model_folder.memory import require_memory
from service.model_folder.onnx_weights import FILE as GRAPH_FILE
from service.model_folder.safetensors_io import write_tensor_file
from service.nets.config.loader import build_config, config_error
from service.nets.network_spec import find_spec
from service.nets.onnx_graph.graph_config import INITIAL_FILE, GraphConfig
from service.nets.onnx_graph.graph_file import MAX_FILE_BYTES
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES
from service.tooling.architecture_tools import tools_of
from service.tooling.formats.network import SavedNetwork
from service.tooling.formats.registry import read_network
from service.tooling.inspect.graph_report import GraphReport, inspect_graph, is_graph
from service.tooling.inspect.questions.question import Question
from service.tooling.pack.companion_files import CompanionFiles, copy_file
from service.tooling.pack.configuration.answers import find_configuration
from service.tooling.pack.configuration.graph_answers import GraphCandidate, explain, find_candidates, render_shown
from service.tooling.pack.configuration.proposer import Answers, read_fields
from service.tooling.pack.configuration.settings import with_settings
from service.tooling.pack.conversion import Converted, PackSource, convert
from service.tooling.pack.weights import cast
from service.tooling.preprocessing.scaling import Scaler
from service.tooling.preprocessing.vocabularies.words import Words
from service.tooling.progress import tracked
from service.tooling.triton.mapping import read_initial_states
from service.tooling.verify.verifier import Verification, verify

__all__ = ["Packed", "pack", "verify"]

MAX_INITIAL_BYTES = 2**28
STORAGE = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Packed:
    """A written model folder: its verification, and notes on changes to the checkpoint's tensors."""

    path: Path
    verification: Verification
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"path": str(self.path), "verification": self.verification.to_dict(), "notes": list(self.notes)}

    def render(self) -> str:
        """Return the report for people."""
        return "\n".join([f"packed {self.verification.render()}", *self.notes])


def pack(
    source: Path,
    models: Path,
    name: str,
    version: str,
    *,
    config: Path | None = None,
    settings: Mapping[str, object] | None = None,
    plain: bool = False,
    names_as_proposed: bool = False,
    ask: Callable[[Question], object] | None = None,
    maps: Sequence[str] = (),
    vocab: Path | Mapping[str, Words] | None = None,
    tokenizer: Path | None = None,
    preprocessor: Path | Scaler | Literal["identity"] | None = None,
    golden: Path | None = None,
    card: Path | None = None,
    dtype: Literal["float16", "float32"] = "float32",
    saved: SavedNetwork | None = None,
    command: Sequence[str] = (),
    architectures: Sequence[AnyArchitecture] = ARCHITECTURES,
) -> Packed:
    """Write `models`/`name`/`version` from the state dict or safetensors file `source`, and check it.

    The configuration is the file `config`, or what `inspect` proposes; `settings` replace single fields of it. What the
    proposal leaves open has to be in `settings`, or is answered by `ask`; with `plain` by the plain choices, and with
    `names_as_proposed` outputs and features are called as proposed. Golden vectors prove the forward pass instead.
    `command` has the words of the command line that messages repeat. `maps`
    rename tensors and apply in order. Each is OLD=NEW, where OLD is a regular expression that is searched in every name
    (re.sub, so NEW may contain \\1). A tensor whose name becomes empty is left out; one that no map changes gets its
    proposed name. `tokenizer` is a file, or a folder with those that config.json names. `preprocessor` is a file, or
    `identity` for mean 0 and scale 1. `saved` is the network of the file if it was read before. Raises
    ModelFolderError, and writes no folder then.
    """
    target = _target(models, name, version)
    if dtype not in STORAGE:
        raise ModelFolderError(f"{target}: dtype: found {dtype!r}, expected one of {', '.join(STORAGE)}")
    companions = CompanionFiles(vocab, tokenizer, preprocessor, golden, card)
    answers = Answers(settings or {}, plain, names_as_proposed, ask)
    words = command or ("unroll", "pack", str(source), str(target))
    if is_graph(source):
        return _pack_graph(
            source, target, answers, words, config=config, companions=companions, architectures=architectures
        )
    packed = PackSource(source, saved or read_network(source), maps, companions, architectures)
    if config is None:
        found, proofs = find_configuration(packed, answers, target, words)
    else:
        found, proofs = packed.proposer().read(config, settings or {}), ()
    converted = convert(packed, found, str(config or source), target)
    return _write(packed, converted, target, STORAGE[dtype], proofs)


def _write(source: PackSource, converted: Converted, target: Path, dtype: torch.dtype, proofs: Sequence[str]) -> Packed:
    """Write and check the folder of a network."""
    tensors, companions = converted.tensors, source.companions
    # In another dtype, and as the bytes of the file.
    require_memory(source.path, sum(2 * tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    entries = tracked("converting the weights", tensors.items(), lambda entry: entry[1].nbytes)
    stored = {key: cast(source.path, key, tensor, dtype) for key, tensor in entries}
    with _staged(target) as folder:
        (folder / "config.json").write_text(json.dumps(converted.raw, indent=2) + "\n", "utf-8")
        write_tensor_file(folder / "model.safetensors", stored)
        tools_of(converted.spec).write_companions(folder, converted.config, companions)
        companions.write_common(folder)
        checked = verify(folder, architectures=source.architectures)
    return Packed(target, replace(checked, path=target), (*source.saved.notes, *converted.notes, *proofs))


def _pack_graph(
    source: Path,
    target: Path,
    answers: Answers,
    command: Sequence[str],
    *,
    config: Path | None,
    companions: CompanionFiles,
    architectures: Sequence[AnyArchitecture],
) -> Packed:
    """Write the folder of an ONNX graph: what golden vectors prove, if there are any, of what the graph leaves open."""
    report = inspect_graph(source)
    if config is None:
        candidates = find_candidates(report, answers, companions, command)
    else:
        candidates = [GraphCandidate(with_settings(read_fields(config), answers.settings, str(config)), {})]
    errors: list[ModelFolderError] = []
    for candidate in candidates:
        try:
            checked = _write_graph(
                report, target, config or source, candidate.fields, companions=companions, architectures=architectures
            )
        except ModelFolderError as error:
            errors.append(error)
        else:
            return Packed(target, checked, render_shown(candidate))
    raise explain(errors, candidates)


def _write_graph(
    report: GraphReport,
    target: Path,
    place: Path,
    raw: dict[str, Any],
    *,
    companions: CompanionFiles,
    architectures: Sequence[AnyArchitecture],
) -> Verification:
    """Write and check the folder of a graph, with the files of its initial state that lie beside it."""
    spec = find_spec(raw, str(place), architectures)
    tools = tools_of(spec)
    raw = tools.complete(raw, companions)
    built = build_config(spec.config_class, raw, str(place))
    if not isinstance(built, GraphConfig):
        raise config_error(
            str(place), [("architecture", built.architecture, "one that names an ONNX graph, as the file is")]
        )
    tools.check_companions(target, built, companions)
    source, initial = report.path, report.proposal.initial
    with _staged(target) as folder:
        (folder / "config.json").write_text(json.dumps(raw, indent=2) + "\n", "utf-8")
        copy_file(source, folder / GRAPH_FILE, MAX_FILE_BYTES, "an ONNX graph")
        if initial and INITIAL_FILE in built.initial_files:
            _write_initial_states(folder, initial, raw)
        for name in [name for name in built.initial_files if not (folder / name).exists()]:
            copy_file(source.parent / name, folder / name, MAX_INITIAL_BYTES, "an initial state")
        tools.write_companions(folder, built, companions)
        companions.write_common(folder)
        checked = verify(folder, architectures=architectures)
    return replace(checked, path=target)


def _write_initial_states(folder: Path, files: Mapping[str, Path], raw: dict[str, Any]) -> None:
    """Write the raw files of initial states as the file of a model folder. Raises ModelFolderError."""
    arrays = read_initial_states(dict(files), raw)
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    write_tensor_file(folder / INITIAL_FILE, tensors)


def _target(models: Path, name: str, version: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ModelFolderError(f"name: found {name!r}, expected letters, digits, dots, dashes and underscores")
    if not re.fullmatch(r"[1-9][0-9]*", version):
        raise ModelFolderError(f"version: found {version!r}, expected a positive integer")
    target = models / name / version
    if target.exists():
        raise ModelFolderError(f"{target}: found a version that exists, expected a new one: versions never change")
    return target


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Yield a hidden folder that is renamed to `target` if the block succeeds, and removed otherwise."""
    folder = target.parent / f".{target.name}-{uuid.uuid4().hex[:12]}"
    fresh = not target.parent.exists()
    try:
        folder.mkdir(parents=True)
        yield folder
        for path in (*folder.iterdir(), folder):
            sync(path)
        folder.rename(target)
        sync(target.parent)
    except ModelFolderError as error:
        raise ModelFolderError(str(error).replace(str(folder), str(target))) from error
    except OSError as error:
        raise ModelFolderError(f"{target}: cannot be packed: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if fresh and not target.exists():
            with suppress(OSError):
                target.parent.rmdir()
