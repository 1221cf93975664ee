"""From a model folder to a task that is ready to run."""

from pathlib import Path

from service.domain.errors import ModelFolderError
from service.domain.operations import ComputeDtype, Device
from service.model_folder.loader import Checkpoint, read_checkpoint
from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.forecast_inputs.preprocessor import read_preprocessor
from service.nets.models.encoder_decoder import EncoderDecoder
from service.nets.models.forecaster import Forecaster
from service.tasks.forecasting.task import ForecastingTask
from service.tasks.limits import TextLimits
from service.tasks.next_word.task import NextWordTask
from service.tasks.state_layout import StateLayout
from service.tasks.translation.task import TranslationTask
from service.tasks.vocabulary import Vocabulary, read_vocabulary


def load_task(
    folder: Path, limits: TextLimits, dtype: ComputeDtype | None = None, device: Device = "cpu"
) -> tuple[Checkpoint, NextWordTask | TranslationTask | ForecastingTask]:
    """Read a model folder, to run in `dtype` or in its own on `device`, and build its task.

    Raises ModelFolderError for whatever is wrong with it, SettingsError for the device.
    """
    checkpoint = read_checkpoint(folder, dtype, device)
    network = checkpoint.network
    if isinstance(network, Forecaster):
        return checkpoint, ForecastingTask(network, read_preprocessor(folder, network.config), limits)
    if isinstance(network, EncoderDecoder):
        source, target = read_vocabularies(folder, network.config)
        return checkpoint, TranslationTask(network, source, target, limits)
    vocabulary = read_vocabularies(folder, network.config)[0]
    layout = StateLayout([(spec.name, spec.shape) for spec in network.specs])
    return checkpoint, NextWordTask(network, vocabulary, layout, network.config.special_tokens, limits)


def read_vocabularies(folder: Path, config: LanguageModelConfig | EncoderDecoderConfig) -> list[Vocabulary]:
    """Read the vocabularies of a model: source and target, or the only one. Raises ModelFolderError."""
    sides = (config.encoder, config.decoder) if isinstance(config, EncoderDecoderConfig) else (config,)
    return [
        read_vocabulary(folder, side.vocab_size, config.special_tokens, file)
        for side, file in zip(sides, config.tokenizers, strict=True)
    ]


def version_folders(models: Path) -> list[Path]:
    """Return `<name>/<version>/` below `models`, versions in the order of their numbers.

    Folders whose name is no integer are no versions; `recipes` and the like are passed over. Raises ModelFolderError
    when there is no such folder.
    """
    if not models.is_dir():
        raise ModelFolderError(f"{models}: found no folder, expected one that holds <name>/<version>/config.json")
    found = [folder for folder in models.glob("*/*") if folder.is_dir() and folder.name.isdecimal()]
    return sorted(found, key=lambda folder: (folder.parent.name, int(folder.name)))
