"""Offline tools of ONNX graphs whose outputs are labels or numbers of a sequence."""

from pathlib import Path

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.nets.onnx_graph.encoder_config import GraphEncoderConfig
from service.tooling.architectures.sequences import SequenceTools
from service.tooling.inspect.inventory import Inventory, Proposal, UnsupportedNetwork


class GraphEncoderTools(SequenceTools[GraphEncoderConfig]):
    """Tools of such graphs, whose weights are in no state dict: `inspect` and `pack` read the file itself."""

    def recognizes(self, parts: Inventory) -> bool:
        return False

    def describe(self, parts: Inventory) -> str:
        return "an ONNX graph"

    def propose(self, parts: Inventory) -> Proposal:
        raise UnsupportedNetwork("a graph is a file of its own, not a state dict")

    def convert(self, source: Path, tensors: dict[str, Tensor], config: GraphEncoderConfig) -> list[str]:
        raise ModelFolderError(f"{source}: found tensors, expected an ONNX graph (FILE.onnx), as config.json says")
