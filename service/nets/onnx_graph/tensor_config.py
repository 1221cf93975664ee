"""config.json of the task `tensor`: a graph whose inputs and outputs are those of the client."""

from typing import Literal

from service.nets.onnx_graph.graph_config import GraphConfig


class TensorConfig(GraphConfig):
    """The fields of a graph that is asked in tensors."""

    task: Literal["tensor"]
