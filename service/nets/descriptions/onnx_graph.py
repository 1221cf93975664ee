"""Description of ONNX graphs: their inputs, states and outputs. What is inside is the graph's own affair."""

from typing import Any

from service.nets.descriptions.layers import Layer, NetworkDescription, Part
from service.nets.onnx_graph.graph_config import GraphConfig, TensorField


def describe_graph(config: GraphConfig) -> NetworkDescription:
    """Return the tensors of a graph."""
    return NetworkDescription((Part("network", (graph_layer(config),)),), tuple(config.session_state()))


def graph_layer(config: GraphConfig, outputs: int | None = None) -> Layer:
    """Return a graph as one layer; `outputs` is the number of numbers that it answers a timestep with."""
    states = [
        {"input": entry.input, "output": entry.output, "dtype": entry.dtype, "shape": [*entry.shape]}
        for entry in config.state
    ]
    tensors = {
        "inputs": [_tensor(entry) for entry in config.inputs],
        "outputs": [_tensor(entry) for entry in config.outputs],
        "states": states,
        "constants": [*config.constants],
    }
    return Layer(kind="graph", outputs=outputs, tensors=tensors)


def _tensor(entry: TensorField) -> dict[str, Any]:
    return {"name": entry.name, "dtype": entry.dtype, "shape": [*entry.shape]}
