"""Step of `import` that adds what the files beside the weights state to the proposed configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.nets.network_spec import find_spec
from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.architecture_tools import tools_of
from service.tooling.formats.network import SavedNetwork
from service.tooling.inspect.graph_report import GraphReport
from service.tooling.inspect.report import Report
from service.tooling.pack.configuration.proposer import read_fields
from service.tooling.preprocessing.contents import CompleteFile
from service.tooling.preprocessing.given import Candidate
from service.tooling.preprocessing.matching import Matched, contents_of, match


def match_preprocessing(
    candidates: Sequence[Candidate],
    report: Report | GraphReport,
    saved: SavedNetwork | None,
    options: Mapping[str, Any],
    architectures: Sequence[AnyArchitecture],
) -> Matched:
    """Return what the preprocessing states for the network: that which is given, and that beside the weights.

    `options` are those of `pack`. Raises ModelFolderError.
    """
    config, settings = _config(candidates, report, options), options.get("settings") or {}
    inside = [] if saved is None else contents_of(saved.content, str(report.path))
    given = {option for option in ("tokenizer", "preprocessor") if options.get(option) is not None}
    fields = {**config, **settings}
    roles: tuple[str, ...] = ()
    if fields.get("architecture"):
        roles = tools_of(find_spec(fields, str(report.path), architectures)).vocabulary_roles
    return match([*candidates, *inside], config, settings, roles, given)


def _config(
    candidates: Sequence[Candidate], report: Report | GraphReport, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the config.json that is given, or the proposed one without the fields that are none of the file's."""
    complete = (item.found.item for item in candidates if isinstance(item.found.item, CompleteFile))
    path: Path | None = options.get("config") or next((item.path for item in complete if item.option == "config"), None)
    if path is not None:
        return read_fields(path)
    proposal = report.proposal if isinstance(report, Report) else None
    return {} if proposal is None else {key: item for key, item in proposal.config.items() if key != "special_tokens"}
