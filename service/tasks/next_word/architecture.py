"""The architecture `language-model`."""

from pathlib import Path

from service.model_folder.golden.language_model import replay_language_model
from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.descriptions.language_model import describe_language_model
from service.nets.models.language_model import LanguageModel
from service.nets.models.windowed_language_model import WindowedLanguageModel
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.limits import TextLimits
from service.tasks.next_word.task import NextWordTask
from service.tasks.state_layout import StateLayout
from service.tasks.vocabulary import Vocabulary, read_vocabulary


def _make_network(config: LanguageModelConfig) -> LanguageModel:
    return LanguageModel(config) if config.window_size is None else WindowedLanguageModel(config)


def _read_vocabulary(folder: Path, config: LanguageModelConfig) -> Vocabulary:
    (file,) = config.companion_files
    vocabulary = read_vocabulary(folder, config.vocab_size, config.special_tokens, file)
    if config.padding is not None:
        vocabulary.require_token(folder / "config.json", "padding.token", config.padding.token)
    return vocabulary


def _make_task(network: LanguageModel, vocabulary: Vocabulary, limits: TextLimits) -> NextWordTask:
    config = network.config
    padding = None if config.padding is None else config.padding.token
    layout = StateLayout.of(network.specs)
    return NextWordTask(
        network,
        vocabulary,
        layout,
        config.special_tokens,
        limits,
        window=config.window_size,
        padding=padding,
        vector_size=config.vector_size,
    )


LANGUAGE_MODEL = ArchitectureSpec(
    config_class=LanguageModelConfig,
    make_network=_make_network,
    device_methods=("begin", "step", "sequence", "recurrent_state", "logits", "score"),
    read_companions=_read_vocabulary,
    replay=replay_language_model,
    describe=describe_language_model,
    make_task=_make_task,
    tools="service.tooling.architectures.language_model:LanguageModelTools",
)
