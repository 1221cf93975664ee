"""The architecture `onnx`."""

from service.model_folder.golden.onnx_graph import replay_onnx_graph
from service.model_folder.initial_state import read_initial_state
from service.model_folder.onnx_weights import read_onnx_weights
from service.nets.descriptions.onnx_graph import describe_graph
from service.nets.onnx_graph.network import OnnxNetwork
from service.nets.onnx_graph.tensor_config import TensorConfig
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.tensor.task import TensorTask


def _make_network(config: TensorConfig) -> OnnxNetwork:
    return OnnxNetwork(config)


ONNX_GRAPH = ArchitectureSpec(
    config_class=TensorConfig,
    make_network=_make_network,
    device_methods=(),
    read_companions=read_initial_state,
    replay=replay_onnx_graph,
    describe=describe_graph,
    make_task=TensorTask,
    tools="service.tooling.architectures.onnx_graph:OnnxGraphTools",
    read_weights=read_onnx_weights,
    own_arithmetic=True,
)
