"""Which network belongs to which configuration."""

from typing import TypeAlias

from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.config.loader import Config
from service.nets.models.encoder_decoder import EncoderDecoder
from service.nets.models.forecaster import Forecaster
from service.nets.models.language_model import LanguageModel

Network: TypeAlias = LanguageModel | EncoderDecoder | Forecaster


def make_network(config: Config) -> Network:
    """Return the network that `config` describes, uninitialised."""
    if isinstance(config, LanguageModelConfig):
        return LanguageModel(config)
    return EncoderDecoder(config) if isinstance(config, EncoderDecoderConfig) else Forecaster(config)
