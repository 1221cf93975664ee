"""The file model.onnx of a folder, in place of model.safetensors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from service.domain.errors import ModelFolderError
from service.domain.files import file_size, open_file, read_file
from service.domain.operations import ComputeDtype, Device
from service.model_folder.memory import require_memory
from service.nets.network_spec import NetworkSpec
from service.nets.onnx_graph.graph_config import GraphConfig
from service.nets.onnx_graph.graph_file import MAX_FILE_BYTES
from service.nets.onnx_graph.network import OnnxNetwork
from service.nets.onnx_graph.runtime import EXTRA, is_installed

GraphConfigT = TypeVar("GraphConfigT", bound=GraphConfig)
GraphT = TypeVar("GraphT", bound=OnnxNetwork)

FILE: Final = "model.onnx"
#: The file, its copy for the trial, and the weights of both sessions.
MEMORY_PER_BYTE: Final = 6


@dataclass(frozen=True, slots=True)
class OnnxWeights(Generic[GraphT]):
    """A graph that was read, tried and loaded."""

    content: bytes
    graph: GraphT

    @property
    def parameters(self) -> int:
        """The number of elements of all constants of the graph."""
        return self.graph.parameter_count

    def network(self, dtype: ComputeDtype, device: Device) -> GraphT:  # noqa: ARG002 - the graph states its own
        """Return the graph, which runs on the processor in its own arithmetic."""
        return self.graph

    def contents(self) -> Iterator[tuple[str, bytes | bytearray]]:
        """Yield the file for the fingerprint."""
        yield FILE, self.content


def read_onnx_weights(
    folder: Path, spec: NetworkSpec[GraphConfigT, GraphT], config: GraphConfigT
) -> OnnxWeights[GraphT]:
    """Read model.onnx of a folder, check and try it. Raises ModelFolderError."""
    path = folder / FILE
    if not is_installed():
        raise ModelFolderError(f"{path}: found an ONNX graph, but no ONNX Runtime, expected {EXTRA}")
    content = read_onnx_file(path)
    network = spec.make_network(config)
    network.load(content, path, folder / "config.json")
    return OnnxWeights(content, network)


def read_onnx_file(path: Path) -> bytes:
    """Return the bytes of an ONNX file, if there is enough memory to load it. Raises ModelFolderError."""
    with open_file(path, "an ONNX graph") as file:
        size = file_size(file)
    if size <= MAX_FILE_BYTES:
        require_memory(path, MEMORY_PER_BYTE * size)
    return read_file(path, MAX_FILE_BYTES, "an ONNX graph")
