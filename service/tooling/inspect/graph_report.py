"""Report on an ONNX graph: its inputs and outputs, and a config.json in which those that are state are paired."""

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.errors import ModelFolderError
from service.model_folder.onnx_weights import read_onnx_file
from service.model_folder.safetensors_header import DTYPES
from service.model_folder.safetensors_io import open_tensor_file
from service.nets.onnx_graph.graph_config import INITIAL_FILE
from service.nets.onnx_graph.graph_file import GraphError, GraphFile, GraphTensor, read_graph
from service.tooling.inspect.graph_proposal import GraphProposal, propose_graph
from service.tooling.inspect.questions.message import ask_for
from service.tooling.triton.config import TritonConfig, find_triton_config, read_triton_config

SUFFIX = ".onnx"
UNKNOWN = (
    "how long an input without a fixed length is, and whether its end stands in front of the next one (`overlap`)",
    "the values of inputs that never change (`constants`)",
    "the state before the first input, if it is not zeros (`initial`)",
    "whether the outputs are labels or numbers: `task` classification, tagging or regression, with the task's fields",
)


@dataclass(frozen=True, slots=True)
class GraphReport:
    """The content of a graph, and what is proposed for it.

    `triton` is the configuration of Triton beside it, and `initial` has the tensors there for initial states.
    """

    path: Path
    graph: GraphFile
    triton: TritonConfig | None
    initial: Mapping[str, GraphTensor]
    proposal: GraphProposal

    def propose(self, settings: Mapping[str, object]) -> GraphProposal:
        """Return the proposal with the pairs of states that `settings` state."""
        return propose_graph(self.graph, self.triton, settings=settings, initial=self.initial)

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
            "proposal": {
                "config": self.config,
                "guessed": [*self.guessed],
                "questions": [question.to_dict() for question in self.proposal.questions],
            },
        }

    def render(self) -> str:
        """Return the report for people."""
        fields = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.config.items())
        lines = [f"{self.path}: ONNX graph, {self.graph.parameters:,} parameters"]
        for title, content in (
            ("inputs", [f"{name}: {tensor.render()}" for name, tensor in self.graph.inputs.items()]),
            ("outputs", [f"{name}: {tensor.render()}" for name, tensor in self.graph.outputs.items()]),
            ("read from config.pbtxt", [*self.proposal.notes]),
            ("cannot be known from the graph", [*UNKNOWN]),
            ("to be stated by you", ask_for(self.proposal.questions)),
            ("proposed config.json", f"{{\n{fields}\n}}".splitlines()),
            ("to pack it, the values being yours", [self._command()]),
        ):
            if content:
                lines += [f"{title}:", *(f"  {line}" for line in content)]
        return "\n".join(lines)

    def _command(self) -> str:
        """Return the command that packs the graph, with the plain choice of each question."""
        words = ["unroll", "pack", str(self.path), "models/NAME/1"]
        words += [word for question in self.proposal.questions for word in question.flag()]
        words += [word for name in self.guessed for word in ("--set", f"{name}=VALUE")]
        return shlex.join(words)


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
    initial = _initial_tensors(path.with_name(INITIAL_FILE))
    return GraphReport(path, graph, triton, initial, propose_graph(graph, triton, initial=initial))


def _initial_tensors(path: Path) -> dict[str, GraphTensor]:
    """Return the tensors of a file of initial states, none if there is no valid one: `pack` reads those it needs."""
    with suppress(ModelFolderError), open_tensor_file(path) as file:
        return {
            name: GraphTensor(name, str(DTYPES[entry.dtype]).removeprefix("torch."), entry.shape)
            for name, entry in file.header.entries.items()
        }
    return {}
