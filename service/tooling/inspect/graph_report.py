"""Report on an ONNX graph: its inputs and outputs, and a config.json in which those that are state are paired."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.errors import ModelFolderError
from service.model_folder.onnx_weights import read_onnx_file
from service.nets.onnx_graph.graph_file import GraphError, GraphFile, read_graph
from service.tooling.inspect.graph_proposal import GraphProposal, propose_graph
from service.tooling.triton.config import find_triton_config, read_triton_config

SUFFIX = ".onnx"
UNKNOWN = (
    "how long an input without a fixed length is, and whether its end stands in front of the next one (`overlap`)",
    "the values of inputs that never change (`constants`)",
    "the state before the first input, if it is not zeros (`initial`)",
    "whether the outputs are labels or numbers: `task` classification, tagging or regression, with the task's fields",
)


@dataclass(frozen=True, slots=True)
class GraphReport:
    """The content of a graph, and what is proposed for it."""

    path: Path
    graph: GraphFile
    proposal: GraphProposal

    @property
    def config(self) -> dict[str, Any]:
        """The fields of the config.json that is proposed."""
        return self.proposal.config

    @property
    def guessed(self) -> tuple[str, ...]:
        """The constants without a value."""
        return self.proposal.guessed

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "path": str(self.path),
            "kind": "ONNX graph",
            "inputs": {name: tensor.render() for name, tensor in self.graph.inputs.items()},
            "outputs": {name: tensor.render() for name, tensor in self.graph.outputs.items()},
            "operators": sorted({operator for _, operator in self.graph.operators}),
            "opsets": self.graph.opsets,
            "parameters": self.graph.parameters,
            "notes": [*self.proposal.notes],
            "unknown": [*UNKNOWN],
            "proposal": {"config": self.config, "guessed": [*self.guessed]},
        }

    def render(self) -> str:
        """Return the report for people."""
        fields = ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in self.config.items())
        settings = [word for name in self.guessed for word in ("--set", f"{name}=VALUE")]
        command = ["unroll", "pack", str(self.path), "models/NAME/1", *settings]
        return "\n".join(
            [
                f"{self.path}: ONNX graph, {self.graph.parameters:,} parameters",
                "inputs:",
                *(f"  {name}: {tensor.render()}" for name, tensor in self.graph.inputs.items()),
                "outputs:",
                *(f"  {name}: {tensor.render()}" for name, tensor in self.graph.outputs.items()),
                *(["read from config.pbtxt:"] if self.proposal.notes else []),
                *(f"  {note}" for note in self.proposal.notes),
                "cannot be known from the graph:",
                *(f"  {line}" for line in UNKNOWN),
                "proposed config.json:",
                f"  {{\n{fields}\n  }}",
                "to pack it, the values being yours:",
                f"  {' '.join(map(shlex.quote, command))}",
            ]
        )


def is_graph(path: Path) -> bool:
    """Return whether a file is an ONNX graph by its name."""
    return path.suffix.lower() == SUFFIX


def inspect_graph(path: Path) -> GraphReport:
    """Report on an ONNX graph. Raises ModelFolderError."""
    try:
        graph = read_graph(read_onnx_file(path))
    except GraphError as error:
        raise ModelFolderError(f"{path}: {error}") from error
    found = find_triton_config(path)
    triton = None if found is None else read_triton_config(found)
    return GraphReport(path, graph, propose_graph(graph, triton))
