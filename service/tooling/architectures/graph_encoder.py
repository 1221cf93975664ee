"""Offline tools of ONNX graphs whose outputs are labels or numbers of a sequence."""

from service.nets.onnx_graph.encoder_config import GraphEncoderConfig
from service.tooling.architectures.graphs import GraphTools
from service.tooling.architectures.sequences import SequenceTools


class GraphEncoderTools(GraphTools[GraphEncoderConfig], SequenceTools[GraphEncoderConfig]):
    """Tools of such graphs, which read text or numbers as sequence encoders do."""
