"""The architecture `sequence-encoder`, with the tasks that its outputs can be for."""

from pathlib import Path

import torch

from service.model_folder.golden.sequence_encoder import replay_sequence_encoder
from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.nets.descriptions.sequence_encoder import describe_sequence_encoder
from service.nets.models.sequence_encoder import SequenceEncoder
from service.nets.models.window import fill_window
from service.nets.models.windowed_sequence_encoder import WindowedSequenceEncoder
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.base import AnyTask
from service.tasks.limits import TextLimits
from service.tasks.sequence_encoding.companions import Companions, make_reader, read_companions
from service.tasks.sequence_encoding.feeding import StepFeeder, WholeFeeder
from service.tasks.sequence_encoding.inputs import InputReader
from service.tasks.sequence_encoding.output_tasks import OUTPUT_TASKS
from service.tasks.sequence_encoding.session_state import EncoderState, EncoderStateCodec
from service.tasks.sequence_encoding.task import StreamParts, StreamTask, WholeTask
from service.tasks.state_layout import StateLayout


def _read_companions(folder: Path, config: SequenceEncoderConfig) -> Companions:
    return read_companions(folder, config, _padding(config))


def _padding(config: SequenceEncoderConfig) -> str | None:
    """Return the token that fills windows, if they are padded."""
    return None if config.padding is None else config.padding.token


def _make_network(config: SequenceEncoderConfig) -> SequenceEncoder:
    return SequenceEncoder(config) if config.window_size is None else WindowedSequenceEncoder(config)


def _make_task(network: SequenceEncoder, companions: Companions, limits: TextLimits) -> AnyTask:
    config = network.config
    reader = make_reader(companions, config, _padding(config))
    outputs = OUTPUT_TASKS[config.task](config, network)
    if config.session_obstacle is None:
        return StreamTask(_stream_parts(network, reader), reader, outputs, limits)
    skip = 0 if reader.begin_id is None else 1
    feeder = WholeFeeder(network, each=config.readout == "each", skip=skip)
    return WholeTask(feeder, reader, outputs, limits, config.session_obstacle)


def _stream_parts(network: SequenceEncoder, reader: InputReader) -> StreamParts:
    config = network.config
    layout, stored = StateLayout.of(network.specs), StateLayout.of(config.session_state())
    codec = EncoderStateCodec(stored, stored.size - layout.size)
    return StreamParts(
        StepFeeder(network, layout), codec, _initial_state(network, reader, layout), config.rows_per_input
    )


def _initial_state(network: SequenceEncoder, reader: InputReader, layout: StateLayout) -> EncoderState:
    """Return the state after the begin token, or before the first timestep if there is none."""
    with torch.inference_mode():
        state, count, begin = network.initial_state(1), 0, reader.begin_id
        if reader.pad_id is not None:
            state = fill_window(state, reader.pad_id)
        if begin is not None:
            state, count = network.step(torch.tensor([begin]), state, torch.zeros(1, 1)), 1
        row = layout.concat({name: part.flatten(1) for name, part in state.items()})[0]
        return EncoderState(count, row.numpy().copy(), reader.no_row)


SEQUENCE_ENCODER = ArchitectureSpec(
    config_class=SequenceEncoderConfig,
    make_network=_make_network,
    device_methods=("step", "sequence", "packed_sequences", "read_out", "read_out_sequence", "answer"),
    read_companions=_read_companions,
    replay=replay_sequence_encoder,
    describe=describe_sequence_encoder,
    make_task=_make_task,
    tools="service.tooling.architectures.sequence_encoder:SequenceEncoderTools",
)
