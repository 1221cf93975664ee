"""The architecture `language-model`."""

from pathlib import Path

from service.model_folder.golden.language_model import replay_language_model
from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.models.language_model import LanguageModel
from service.tasks.architecture_spec import ArchitectureSpec
from service.tasks.limits import TextLimits
from service.tasks.next_word.task import NextWordTask
from service.tasks.state_layout import StateLayout
from service.tasks.vocabulary import Vocabulary, read_vocabulary


def _read_vocabulary(folder: Path, config: LanguageModelConfig) -> Vocabulary:
    (file,) = config.companion_files
    return read_vocabulary(folder, config.vocab_size, config.special_tokens, file)


def _make_task(network: LanguageModel, vocabulary: Vocabulary, limits: TextLimits) -> NextWordTask:
    layout = StateLayout([(spec.name, spec.shape) for spec in network.specs])
    return NextWordTask(network, vocabulary, layout, network.config.special_tokens, limits)


LANGUAGE_MODEL = ArchitectureSpec(
    config_class=LanguageModelConfig,
    make_network=LanguageModel,
    device_methods=("step", "sequence", "logits", "score"),
    read_companions=_read_vocabulary,
    replay=replay_language_model,
    make_task=_make_task,
    tools="service.tooling.architectures.language_model:LanguageModelTools",
)
