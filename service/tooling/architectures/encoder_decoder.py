"""Offline tools of encoder-decoders."""

from pathlib import Path
from typing import Any

from torch import Tensor

from service.domain.errors import ModelFolderError
from service.domain.operations import Predict
from service.nets.config.encoder_decoder_config import EncoderDecoderConfig
from service.tasks.base import AnyTask
from service.tooling.architectures.text import TextModelTools, write_word_tokenizer
from service.tooling.inspect.inventory import Inventory, Proposal
from service.tooling.inspect.proposals.encoder_decoder import propose_encoder_decoder
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.pack.encoder_decoder_weights import convert_encoder_decoder
from service.tooling.verify.text_quality import Bleu


class EncoderDecoderTools(TextModelTools[EncoderDecoderConfig]):
    """Tools of encoder-decoders, which have a tokenizer for each side."""

    def recognizes(self, parts: Inventory) -> bool:
        return len(parts.groups) > 1 and bool(parts.embeddings)

    def describe(self, parts: Inventory) -> str:
        return "an encoder-decoder, such as translation"

    def propose(self, parts: Inventory) -> Proposal:
        return propose_encoder_decoder(parts)

    def check_companions(self, target: Path, config: EncoderDecoderConfig, files: CompanionFiles) -> None:
        super().check_companions(target, config, files)
        if isinstance(files.vocab, Path):
            raise ModelFolderError(f"{files.vocab}: found a word list, expected tokenizers for a translation model")

    def write_companions(self, folder: Path, config: EncoderDecoderConfig, files: CompanionFiles) -> None:
        super().write_companions(folder, config, files)
        for name, side in (("source", config.encoder), ("target", config.decoder)):
            write_word_tokenizer(folder / side.tokenizer, side.vocab_size, config.special_tokens, files, name)

    def convert(self, source: Path, tensors: dict[str, Tensor], config: EncoderDecoderConfig) -> list[str]:
        return convert_encoder_decoder(source, tensors, config)

    def metric(self, data: Path, task: AnyTask, config: EncoderDecoderConfig) -> Bleu:
        return Bleu(data)

    def render(self, config: EncoderDecoderConfig, operation: Predict, output: dict[str, Any]) -> str:
        return "\n".join(translation["text"] for translation in output["translations"])
