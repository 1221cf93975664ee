"""Which network belongs to which configuration."""

from typing import TypeAlias

from service.nets.config import Config, LanguageModelConfig
from service.nets.encoder_decoder import EncoderDecoder
from service.nets.language_model import LanguageModel

Network: TypeAlias = LanguageModel | EncoderDecoder


def make_network(config: Config) -> Network:
    """Return the network that `config` describes, uninitialised."""
    return LanguageModel(config) if isinstance(config, LanguageModelConfig) else EncoderDecoder(config)
