"""Offline tools that the architectures of text models share."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Predict, TextInput
from service.tooling.architecture_tools import ArchitectureTools, ConfigT
from service.tooling.pack.companion_files import CompanionFiles, copy_tokenizers
from service.tooling.predict.arguments import PredictionArguments


class TextModelTools(ArchitectureTools[ConfigT]):
    """Tools of models that read text with tokenizers."""

    def check_companions(self, target: Path, config: ConfigT, files: CompanionFiles) -> None:
        if files.preprocessor is not None:
            raise ModelFolderError(
                f"{files.preprocessor}: found a preprocessor, expected none: {config.task} reads text, not numbers"
            )
        if (files.vocab is None) == (files.tokenizer is None):
            raise ModelFolderError(
                f"{target}: found vocab {files.vocab} and tokenizer {files.tokenizer}, expected exactly one of them"
            )

    def write_companions(self, folder: Path, config: ConfigT, files: CompanionFiles) -> None:
        if files.tokenizer is not None:
            copy_tokenizers(files.tokenizer, folder, config.companion_files)

    def read_input(self, model: str, config: ConfigT, arguments: PredictionArguments) -> TextInput:
        for option, file in (("--csv", arguments.series), ("--future", arguments.future)):
            if file is not None:
                raise InvalidRequest(f"{option} is {file}: expected TEXT alone, since {model} reads words")
        if arguments.text is None:
            raise InvalidRequest(f"TEXT is missing: expected what {model} should read")
        return TextInput(text=arguments.text)

    @abstractmethod
    def render(self, config: ConfigT, operation: Predict, output: dict[str, Any]) -> str: ...
