"""The architecture `encoder-decoder`."""

from pathlib import Path
from typing import NamedTuple

from service.model_folder.golden.encoder_decoder import replay_encoder_decoder
from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.descriptions.encoder_decoder import describe_encoder_decoder
from service.nets.models.encoder_decoder import EncoderDecoder
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.limits import TextLimits
from service.tasks.translation.task import TranslationTask
from service.tasks.vocabulary import Vocabulary, read_vocabulary


class Vocabularies(NamedTuple):
    """The vocabularies of a translation model."""

    source: Vocabulary
    target: Vocabulary


def _read_vocabularies(folder: Path, config: EncoderDecoderConfig) -> Vocabularies:
    roles, (source, target) = config.special_tokens, config.companion_files
    # A source is never predicted, so its vocabulary needs only the marks that are fed.
    marks = {*config.encoder.marks, *({"unknown"} & roles.keys())}
    return Vocabularies(
        read_vocabulary(folder, config.encoder.vocab_size, roles, source, required=marks),
        read_vocabulary(folder, config.decoder.vocab_size, roles, target),
    )


def _make_task(network: EncoderDecoder, vocabularies: Vocabularies, limits: TextLimits) -> TranslationTask:
    return TranslationTask(network, vocabularies.source, vocabularies.target, limits)


ENCODER_DECODER = ArchitectureSpec(
    config_class=EncoderDecoderConfig,
    make_network=EncoderDecoder,
    device_methods=("encode", "encode_packed", "step", "sequence", "logits"),
    read_companions=_read_vocabularies,
    replay=replay_encoder_decoder,
    describe=describe_encoder_decoder,
    make_task=_make_task,
    tools="service.tooling.architectures.encoder_decoder:EncoderDecoderTools",
)
