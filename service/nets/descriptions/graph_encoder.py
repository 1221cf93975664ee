"""Description of ONNX graphs in the place of a sequence encoder."""

from service.nets.descriptions.layers import Chain, Layer, NetworkDescription, Part
from service.nets.descriptions.onnx_graph import graph_layer
from service.nets.descriptions.sequences import outputs, row_input
from service.nets.onnx_graph.encoder_config import GraphEncoderConfig


def describe_graph_encoder(config: GraphEncoderConfig) -> NetworkDescription:
    """Return what a graph reads and answers."""
    chain = Chain(config.row_width)
    if config.vocab_size is None:
        chain.add(row_input(config))
    else:
        chain.add(Layer(kind="input", outputs=1, reads={"token": 1}, vocabulary=config.vocab_size))
    chain.add(graph_layer(config, config.graph_outputs))
    chain.add(Layer(kind="readout", inputs=chain.width, outputs=chain.width, method=config.readout))
    chain.layers += outputs(config, chain.width)
    return NetworkDescription((Part("network", tuple(chain.layers)),), tuple(config.session_state()))
