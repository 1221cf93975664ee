"""Offline tools that the architectures of text models share."""

from abc import abstractmethod
from collections.abc import Collection
from operator import itemgetter
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import Predict, TextInput
from service.nets.config.architecture_config import ArchitectureConfig
from service.tasks.vocabulary import Vocabulary
from service.tooling.architecture_tools import ArchitectureTools, ConfigT
from service.tooling.pack.companion_files import CompanionFiles, copy_tokenizers
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.preprocessing.vocabularies.fitting import fit_words
from service.tooling.preprocessing.vocabularies.special_tokens import is_special
from service.tooling.preprocessing.vocabularies.tokenizer import write_tokenizer

#: Words of the text that the printed example sends.
EXAMPLE_WORDS = 3


class TextModelTools(ArchitectureTools[ConfigT]):
    """Tools of models that read text with tokenizers."""

    def check_companions(self, target: Path, config: ConfigT, files: CompanionFiles) -> None:
        check_text_companions(target, config, files)

    def write_companions(self, folder: Path, config: ConfigT, files: CompanionFiles) -> None:
        if files.tokenizer is not None:
            copy_tokenizers(files.tokenizer, folder, config.companion_files)

    def read_input(self, model: str, config: ConfigT, arguments: PredictionArguments) -> TextInput:
        return read_text(model, arguments)

    def example(self, folder: Path, config: ConfigT) -> dict[str, Any]:
        return example_text(folder / config.companion_files[0])

    @abstractmethod
    def render(self, config: ConfigT, operation: Predict, output: dict[str, Any]) -> str: ...


def check_text_companions(target: Path, config: ArchitectureConfig, files: CompanionFiles) -> None:
    """Check that the files given to `pack` are those of a network over text. Raises ModelFolderError."""
    if files.preprocessor is not None:
        raise ModelFolderError(
            f"{files.preprocessor}: found a preprocessor, expected none: {config.task} reads text, not numbers"
        )
    if files.vocab is None and files.tokenizer is None:
        raise ModelFolderError(
            f"{target}: found no vocabulary, expected --vocab FILE, the words in the order of their ids, or "
            "--tokenizer FILE"
        )
    if files.vocab is not None and files.tokenizer is not None:
        raise ModelFolderError(
            f"{target}: found the vocabulary {files.vocab_origin} and the tokenizer {files.tokenizer}, expected one "
            "of them"
        )


def with_special_tokens(
    raw: dict[str, Any], files: CompanionFiles, roles: Collection[str] = ("unknown",)
) -> dict[str, Any]:
    """Return the fields of a config.json with the special tokens of a vocabulary that have one of these roles.

    Raises ModelFolderError if the vocabulary does not fit.
    """
    size, stated = raw.get("vocab_size"), raw.get("special_tokens")
    words = files.words().get("") if isinstance(size, int) else None
    if words is None or not isinstance(size, int):
        return raw
    found = fit_words(words, size, stated if isinstance(stated, dict) else None).roles
    known = {role: token for role, token in found.items() if role in roles or role in (stated or {})}
    return {**raw, "special_tokens": known}


def write_word_tokenizer(
    path: Path, vocab_size: int, special_tokens: dict[str, str], files: CompanionFiles, side: str = ""
) -> None:
    """Write the tokenizer of the vocabulary of a side, if there is one. Raises ModelFolderError."""
    words = files.words().get(side)
    if words is not None:
        write_tokenizer(path, fit_words(words, vocab_size, special_tokens))


def example_text(path: Path) -> dict[str, Any]:
    """Return an input of the first words of a tokenizer.json that are words."""
    tokenizer = Tokenizer.from_file(str(path))
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    entries = {index: entry for entry, index in sorted(tokenizer.get_vocab().items(), key=itemgetter(1))}
    plain = {
        index: entry
        for index, entry in entries.items()
        if entry.isprintable() and entry not in special and not is_special(entry)
    }
    words = {index: entry for index, entry in plain.items() if entry.isalpha()} or plain
    ids = [*words][:EXAMPLE_WORDS]
    text = tokenizer.decode(ids) if tokenizer.decoder is not None else " ".join([*words.values()][:EXAMPLE_WORDS])
    return {"text": text} if _is_readable(tokenizer, text) else {"ids": ids}


def _is_readable(tokenizer: Tokenizer, text: str) -> bool:
    """Return whether a text has words that the tokenizer knows."""
    try:
        return bool(Vocabulary(tokenizer).encode(TextInput(text=text)).ids)
    except InvalidRequest:
        return False


def read_text(model: str, arguments: PredictionArguments) -> TextInput:
    """Return the text of the command line for the model named `model`. Raises InvalidRequest."""
    refuse_files(model, arguments)
    if arguments.text is None:
        raise InvalidRequest(f"TEXT is missing: expected what {model} should read")
    return TextInput(text=arguments.text)


def refuse_files(model: str, arguments: PredictionArguments) -> None:
    """Raise InvalidRequest for a file of numbers."""
    for option, file in (("--csv", arguments.series), ("--future", arguments.future)):
        if file is not None:
            raise InvalidRequest(f"{option} is {file}: expected TEXT alone, since {model} reads words")
