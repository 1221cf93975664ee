"""Offline tools of language models."""

from pathlib import Path
from typing import Any

from torch import Tensor

from service.domain.operations import Predict, TextInput
from service.nets.config.language_model_config import LanguageModelConfig
from service.tasks.base import AnyTask
from service.tooling.architectures.text import (
    TextModelTools,
    read_text,
    refuse_files,
    with_special_tokens,
    write_word_tokenizer,
)
from service.tooling.inspect.inventory import Inventory, Proposal, UnsupportedNetwork
from service.tooling.inspect.proposals.language_model import propose_language_model
from service.tooling.pack.companion_files import CompanionFiles
from service.tooling.pack.vector_weights import convert_vector
from service.tooling.pack.weight_conversion import drop_tied_output
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.predict.vector_argument import read_vector
from service.tooling.verify.text_quality import Perplexity


class LanguageModelTools(TextModelTools[LanguageModelConfig]):
    """Tools of language models, whose vocabulary may be a word list."""

    def recognizes(self, parts: Inventory) -> bool:
        return len(parts.groups) == 1 and (bool(parts.embeddings) or parts.one_hot)

    def accepts(self, parts: Inventory) -> bool:
        return len(parts.groups) == 1

    def describe(self, parts: Inventory) -> str:
        return "a language model over words or other tokens (task next-word)"

    def describe_unsupported(self, parts: Inventory, error: UnsupportedNetwork) -> str:
        return str(error)

    def propose(self, parts: Inventory) -> Proposal:
        return propose_language_model(parts)

    def propose_task(self, parts: Inventory, task: str) -> Proposal:
        return propose_language_model(parts, whole=True)

    def complete(self, raw: dict[str, Any], files: CompanionFiles) -> dict[str, Any]:
        return with_special_tokens(raw, files)

    def write_companions(self, folder: Path, config: LanguageModelConfig, files: CompanionFiles) -> None:
        super().write_companions(folder, config, files)
        (file,) = config.companion_files
        write_word_tokenizer(folder / file, config.vocab_size, config.special_tokens, files)

    def convert(self, source: Path, tensors: dict[str, Tensor], config: LanguageModelConfig) -> list[str]:
        notes = convert_vector(source, tensors, config.vector_states())
        return [*notes, *(drop_tied_output(source, tensors, "embedding.weight") if config.tie_weights else [])]

    def read_input(self, model: str, config: LanguageModelConfig, arguments: PredictionArguments) -> TextInput:
        if config.vector_size is None:
            return read_text(model, arguments)
        refuse_files(model, arguments)
        return TextInput(text=arguments.text, vector=read_vector(model, arguments.vector, config.vector_size))

    def metric(self, data: Path, task: AnyTask, config: LanguageModelConfig) -> Perplexity:
        return Perplexity(data)

    def render(self, config: LanguageModelConfig, operation: Predict, output: dict[str, Any]) -> str:
        return "\n".join(f"{token['probability']:.4f}  {token['token']}" for token in output["predictions"])
