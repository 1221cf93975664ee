"""The architecture `onnx` for the tasks of sequence encoders."""

from pathlib import Path
from typing import TypeAlias

import numpy as np

from service.domain.errors import ModelFolderError
from service.model_folder.golden.graph_encoder import GraphCompanions, replay_graph_encoder
from service.model_folder.initial_state import read_initial_state
from service.model_folder.onnx_weights import read_onnx_weights
from service.nets.descriptions.graph_encoder import describe_graph_encoder
from service.nets.onnx_graph.encoder import GraphEncoder
from service.nets.onnx_graph.encoder_config import GraphEncoderConfig
from service.nets.onnx_graph.runtime import GraphFailure
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.base import AnyTask
from service.tasks.graph_encoding.feeding import GraphFeeder
from service.tasks.graph_encoding.session_state import GraphEncoderCodec
from service.tasks.limits import TextLimits
from service.tasks.sequence_encoding.companions import Companions, make_reader, read_companions
from service.tasks.sequence_encoding.inputs import InputReader
from service.tasks.sequence_encoding.output_tasks import OUTPUT_TASKS
from service.tasks.sequence_encoding.session_state import EncoderState
from service.tasks.sequence_encoding.task import StreamParts, StreamTask
from service.tasks.tensor.task import ALONE, row_cost

FolderFiles: TypeAlias = GraphCompanions[Companions]


def _make_network(config: GraphEncoderConfig) -> GraphEncoder:
    return GraphEncoder(config)


def _read_companions(folder: Path, config: GraphEncoderConfig) -> FolderFiles:
    return GraphCompanions(read_companions(folder, config), read_initial_state(folder, config))


def _make_task(network: GraphEncoder, companions: FolderFiles, limits: TextLimits) -> AnyTask:
    config = network.encoder
    reader = make_reader(companions.inputs, config)
    parts = StreamParts(
        GraphFeeder(network),
        GraphEncoderCodec(config),
        _initial_state(network, companions, reader),
        row_cost(network),
        "" if config.batched else ALONE,
    )
    return StreamTask(parts, reader, OUTPUT_TASKS[config.task](config, network), limits)


def _initial_state(network: GraphEncoder, companions: FolderFiles, reader: InputReader) -> EncoderState:
    """Return the state after the begin token, or before the first timestep if there is none.

    Raises ModelFolderError for a begin token that the graph does not read.
    """
    states, count = network.initial_row(companions.initial)[None], 0
    outputs = np.zeros((1, network.encoder.output_size), np.float32)
    if reader.begin_id is not None:
        try:
            answers, states = network.compute(np.array([reader.begin_id]), states)
        except GraphFailure as error:
            token = network.encoder.special_tokens["begin"]
            raise ModelFolderError(
                f"special_tokens.begin: found {token!r}, which the graph cannot read ({error}), expected a token that "
                "it reads"
            ) from error
        outputs, count = network.outputs_of(answers), 1
    return EncoderState(count, np.concatenate([states[0], outputs[0].view(np.uint8)]), reader.no_row)


GRAPH_ENCODER = ArchitectureSpec(
    config_class=GraphEncoderConfig,
    make_network=_make_network,
    device_methods=(),
    read_companions=_read_companions,
    replay=replay_graph_encoder,
    describe=describe_graph_encoder,
    make_task=_make_task,
    tools="service.tooling.architectures.graph_encoder:GraphEncoderTools",
    read_weights=read_onnx_weights,
    own_arithmetic=True,
)
