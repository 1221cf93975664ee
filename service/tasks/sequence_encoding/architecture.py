"""The architecture `sequence-encoder`, with the tasks that its outputs can be for."""

from pathlib import Path

from service.model_folder.golden.sequence_encoder import replay_sequence_encoder
from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.nets.forecast_inputs.rows import RowReader, read_row_reader
from service.nets.models.sequence_encoder import SequenceEncoder
from service.nets.models.windowed_sequence_encoder import WindowedSequenceEncoder
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.base import AnyTask
from service.tasks.classification.answers import Classification
from service.tasks.embedding.answers import Embedding
from service.tasks.limits import TextLimits
from service.tasks.regression.answers import Regression
from service.tasks.sequence_encoding.inputs import InputReader, SeriesReader, TextReader
from service.tasks.sequence_encoding.task import StreamTask, WholeTask
from service.tasks.tagging.answers import Tagging
from service.tasks.vocabulary import Vocabulary, read_vocabulary

#: What a model folder has beside the weights: the vocabulary of a network over text, or the scaling of numbers.
Companions = Vocabulary | RowReader

OUTPUT_TASKS = {task.name: task for task in (Classification, Tagging, Regression, Embedding)}


def _read_companions(folder: Path, config: SequenceEncoderConfig) -> Companions:
    if config.vocab_size is None:
        return read_row_reader(folder, config)
    vocabulary = read_vocabulary(folder, config.vocab_size, config.special_tokens)
    if config.padding is not None:
        vocabulary.require_token(folder / "config.json", "padding.token", config.padding.token)
    return vocabulary


def _make_network(config: SequenceEncoderConfig) -> SequenceEncoder:
    return SequenceEncoder(config) if config.window_size is None else WindowedSequenceEncoder(config)


def _make_task(network: SequenceEncoder, companions: Companions, limits: TextLimits) -> AnyTask:
    config = network.config
    padding = None if config.padding is None else config.padding.token
    reader: InputReader = (
        SeriesReader(companions)
        if isinstance(companions, RowReader)
        else TextReader(companions, config.special_tokens.get("begin"), padding)
    )
    outputs = OUTPUT_TASKS[config.task](config, network)
    if config.session_obstacle is None:
        return StreamTask(network, reader, outputs, limits)
    return WholeTask(network, reader, outputs, limits, config.session_obstacle)


SEQUENCE_ENCODER = ArchitectureSpec(
    config_class=SequenceEncoderConfig,
    make_network=_make_network,
    device_methods=("step", "sequence", "packed_sequences", "read_out", "read_out_sequence", "answer"),
    read_companions=_read_companions,
    replay=replay_sequence_encoder,
    make_task=_make_task,
    tools="service.tooling.architectures.sequence_encoder:SequenceEncoderTools",
)
