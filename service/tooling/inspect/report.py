"""Report on a checkpoint: recurrent layers, embeddings, linear layers, and properties that shapes do not determine.

If the parts are those of a network that is served, the report proposes a config.json and tensor names for `pack`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.formats.registry import read_network
from service.tooling.inspect.ambiguities import list_ambiguities
from service.tooling.inspect.front_layers import chain_groups
from service.tooling.inspect.graph_report import GraphReport, inspect_graph, is_graph
from service.tooling.inspect.inventory import Inventory, Matrix, Proposal
from service.tooling.inspect.known_cells import tell_cells, with_known_cells
from service.tooling.inspect.linear_cells import find_linear_cells
from service.tooling.inspect.matrices import find_matrices
from service.tooling.inspect.proposals.keras.proposal import KIND as KERAS
from service.tooling.inspect.proposals.keras.proposal import propose_keras
from service.tooling.inspect.questions.message import ask_for
from service.tooling.inspect.recognition import propose
from service.tooling.inspect.recurrent_layers import RecurrentGroup, find_groups


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a checkpoint. `proposal` is None if no task of this release fits; `looks_like` describes it."""

    path: Path
    kind: str
    saved_on: tuple[str, ...]
    beside: tuple[str, ...]
    notes: tuple[str, ...]
    layers: tuple[SavedLayer, ...]
    groups: tuple[RecurrentGroup, ...]
    matrices: tuple[Matrix, ...]
    others: tuple[str, ...]
    parameters: int
    looks_like: str
    unknown: tuple[str, ...]
    proposal: Proposal | None

    @property
    def differences(self) -> tuple[str, ...]:
        """Inputs that the framework of the file treats otherwise than a server of the folder."""
        return () if self.proposal is None else self.proposal.differences

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "saved_on": list(self.saved_on),
            "beside": list(self.beside),
            "notes": list(self.notes),
            "layers": [layer.to_dict() for layer in self.layers],
            "recurrent": [group.to_dict() for group in self.groups],
            "matrices": [matrix.to_dict() for matrix in self.matrices],
            "others": list(self.others),
            "parameters": self.parameters,
            "looks_like": self.looks_like,
            "unknown": list(self.unknown),
            "proposal": None if self.proposal is None else self.proposal.to_dict(),
        }

    def render(self) -> str:
        """Return the report for people."""
        lines: list[str] = []
        for title, content in self._sections():
            if content:
                lines += [f"{title}:", *(f"  {line}" for line in content)] if title else content
        return "\n".join(lines)

    def _sections(self) -> list[tuple[str, list[str]]]:
        """Return the titles and lines of the rendered report; empty sections are not shown."""
        saved = f", saved on {', '.join(self.saved_on)}" if self.saved_on else ""
        proposal = self.proposal
        return [
            ("", [f"{self.path}: {self.kind}, {self.parameters:,} parameters{saved}"]),
            ("beside the weights", list(self.beside)),
            ("notes", list(self.notes)),
            ("layers that the file describes", [layer.render() for layer in self.layers]),
            ("recurrent layers", [group.render() for group in self.groups] or ["none found"]),
            ("embeddings and linear layers", [matrix.render() for matrix in self.matrices]),
            ("other tensors", list(self.others)),
            ("looks like", [self.looks_like]),
            ("cannot be known from names and shapes", list(self.unknown)),
            ("to be stated by you", [] if proposal is None else ask_for(proposal.questions)),
            ("proposed config.json", [] if proposal is None else proposal.render().splitlines()),
            ("to pack it, the values being yours", [] if proposal is None else [proposal.command(self.path)]),
        ]


def inspect(path: Path, architectures: Sequence[AnyArchitecture] = ARCHITECTURES) -> Report | GraphReport:
    """Report on the network in a file of any format that is read. Raises ModelFolderError."""
    if is_graph(path):
        return inspect_graph(path)
    return inspect_network(path, read_network(path), architectures)


def inspect_network(
    path: Path,
    saved: SavedNetwork,
    architectures: Sequence[AnyArchitecture],
    task: str | None = None,
    *,
    one_hot: bool = False,
) -> Report:
    """Report on the tensors that were read from the file at `path`.

    Their network is one for `task` if it is stated, and reads tokens as unit vectors if `one_hot`.
    """
    parts = replace(_take_inventory(saved), one_hot=one_hot)
    ambiguities: list[str] = []
    if saved.kind == KERAS:
        looks_like, proposal = propose_keras(saved, architectures, task)
    else:
        ambiguities = list_ambiguities(parts.groups, parts.matrices)
        looks_like, proposal = propose(parts, architectures, task)
    return Report(
        path=path,
        kind=saved.kind,
        saved_on=saved.saved_on,
        beside=saved.beside,
        notes=saved.notes,
        layers=saved.layers,
        groups=parts.groups,
        matrices=parts.matrices,
        others=tuple(f"{name} {[*saved.tensors[name].shape]}" for name in parts.others),
        parameters=sum(tensor.numel() for tensor in saved.tensors.values()),
        looks_like=looks_like,
        unknown=(*ambiguities, *(() if proposal is None else (*proposal.unknown, *proposal.differences))),
        proposal=proposal,
    )


def _take_inventory(saved: SavedNetwork) -> Inventory:
    """Sort the tensors into recurrent layers, embeddings, linear layers and others."""
    found = find_groups(saved.tensors) or find_linear_cells(saved.tensors)
    groups = tuple(with_known_cells(found, saved.layers))
    matrices = find_matrices(saved.tensors, groups)
    if sum(matrix.embedding for matrix in matrices) <= 1:  # two embeddings are those of an encoder and a decoder
        groups = tuple(chain_groups([*groups]))
    known = {name for group in groups for name in group.names} | {name for matrix in matrices for name in matrix.names}
    others = tuple(name for name in saved.tensors if name not in known)
    return Inventory(saved.tensors, groups, matrices, others, told_cells=tell_cells(groups, saved.layers))
