"""What the offline tools of all ONNX graphs share."""

from pathlib import Path
from typing import TypeVar

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.onnx_graph.graph_config import GraphConfig
from service.tooling.architecture_tools import ArchitectureTools
from service.tooling.inspect.inventory import Inventory, Proposal, UnsupportedNetwork

ConfigT = TypeVar("ConfigT", bound=GraphConfig)


class GraphTools(ArchitectureTools[ConfigT]):
    """Tools of graphs, whose weights are in no state dict: `inspect` and `pack` read the file itself."""

    def recognizes(self, parts: Inventory) -> bool:
        return False

    def describe(self, parts: Inventory) -> str:
        return "an ONNX graph"

    def propose(self, parts: Inventory) -> Proposal:
        raise UnsupportedNetwork("a graph is a file of its own, not a state dict")

    def convert(self, source: Path, tensors: dict[str, Tensor], config: ConfigT) -> list[str]:
        raise ModelFolderError(f"{source}: found tensors, expected an ONNX graph (FILE.onnx), as config.json says")
