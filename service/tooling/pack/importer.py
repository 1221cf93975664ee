"""One call that inspects the files of a trained network, packs them and verifies the folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES
from service.tooling.formats.source import Weights
from service.tooling.frameworks.vectors import framework_of
from service.tooling.inspect.graph_report import GraphReport, inspect_graph
from service.tooling.inspect.report import Report, inspect_network
from service.tooling.pack.configuration.proposer import stated_task
from service.tooling.pack.example_request import example_request
from service.tooling.pack.framework_golden import AUTO, pack_with_framework
from service.tooling.pack.import_sources import read_sources
from service.tooling.pack.packer import Packed, pack
from service.tooling.pack.preprocessing import match_preprocessing


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
    recognised by their content. A path can be the folder of a training run, which says what its files are.
    `vocabularies` and `scalers` state files of preprocessing, each PATH or PART=PATH. With `accept`, outputs and
    features are called as proposed; nothing that decides about numbers is answered by it. With `dry_run` nothing is
    written. `weights` chooses those of a training that keeps their average, too. `options` are those of `pack`, where
    `golden` may be "auto": the framework of the file computes them. Raises ModelFolderError.
    """
    read = read_sources(files, vocabularies, scalers, weights)
    source, saved, settings = read.path, read.saved, {**read.settings, **settings}
    report = (
        inspect_graph(source)
        if saved is None
        else inspect_network(
            source, saved, architectures, stated_task(settings, architectures), one_hot=settings.get("one_hot") is True
        )
    )
    matched = match_preprocessing(read.candidates, report, saved, {**options, "settings": settings}, architectures)
    if dry_run:
        return Imported(report, None, "", (*read.notes, *matched.notes))
    words = [word for text in vocabularies for word in ("--vocab", text)]
    words += [word for text in scalers for word in ("--scaler", text)]
    words += ["--yes"] if accept else []
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
    differences = report.differences if isinstance(report, Report) else ()
    notes = (*read.notes, *matched.notes, *differences)
    return Imported(report, packed, example_request(target, architectures), notes)
