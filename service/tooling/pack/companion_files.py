"""The files given to `pack` that a model folder holds beside config.json and the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.domain.errors import ModelFolderError
from service.domain.files import read_file
from service.model_folder.golden.amount import MAX_BYTES
from service.model_folder.golden.replay import FILE as GOLDEN
from service.model_folder.loader import MAX_PREPROCESSING_BYTES as MAX_TOKENIZER_BYTES
from service.model_folder.model_card import MAX_CARD_BYTES
from service.model_folder.safetensors_header import MAX_HEADER_BYTES
from service.tooling.preprocessing.reader import read_words
from service.tooling.preprocessing.scaling import Scaler
from service.tooling.preprocessing.vocabularies.words import Words

MAX_GOLDEN_BYTES = MAX_BYTES + MAX_HEADER_BYTES


@dataclass(frozen=True, slots=True)
class CompanionFiles:
    """The files given to `pack`: a vocabulary or tokenizer, a preprocessor, golden vectors and a model card.

    `vocab` is a file, or what was read: the vocabulary of each side of a translation, of other networks that of "".
    `tokenizer` is a file or a folder of several. `preprocessor` may be `identity`, for unscaled numbers.
    """

    vocab: Path | Mapping[str, Words] | None = None
    tokenizer: Path | None = None
    preprocessor: Path | Scaler | Literal["identity"] | None = None
    golden: Path | None = None
    card: Path | None = None

    @property
    def vocab_origin(self) -> str | None:
        """Where the vocabulary comes from, for messages."""
        if isinstance(self.vocab, Mapping):
            return ", ".join(words.origin for words in self.vocab.values())
        return None if self.vocab is None else str(self.vocab)

    def words(self) -> Mapping[str, Words]:
        """Return the vocabularies by side. Raises ModelFolderError for a file without one."""
        if isinstance(self.vocab, Mapping):
            return self.vocab
        return {} if self.vocab is None else {"": read_words(self.vocab)}

    def options(self) -> list[str]:
        """Return the options of the command line that give these files, as far as they were given by a path."""
        given = {"vocab": self.vocab, "tokenizer": self.tokenizer, "preprocessor": self.preprocessor}
        files = {**given, "golden": self.golden, "card": self.card}
        return [
            word for name, path in files.items() if isinstance(path, Path | str) for word in (f"--{name}", str(path))
        ]

    @property
    def reads_inputs(self) -> bool:
        """Whether a file is given that decides how inputs are read."""
        return any(path is not None for path in (self.vocab, self.tokenizer, self.preprocessor))

    def write_common(self, folder: Path) -> None:
        """Copy the files that do not depend on the architecture. Raises ModelFolderError, OSError."""
        if self.golden is not None:
            copy_file(self.golden, folder / GOLDEN, MAX_GOLDEN_BYTES, "golden vectors")
        if self.card is not None:
            copy_file(self.card, folder / "README.md", MAX_CARD_BYTES, "a model card")


def copy_tokenizers(source: Path, folder: Path, names: Sequence[str]) -> None:
    """Copy the tokenizers that a config.json names: one file, or those of the folder `source`.

    Raises ModelFolderError.
    """
    names = list(dict.fromkeys(names))
    if source.is_dir():
        if missing := [name for name in names if not (source / name).is_file()]:
            raise ModelFolderError(f"{source}: found no {missing[0]}, expected the tokenizers that config.json names")
    elif len(names) > 1:
        raise ModelFolderError(f"{source}: found one tokenizer, expected a folder with {' and '.join(names)}")
    for name in names:
        copy_file(source / name if source.is_dir() else source, folder / name, MAX_TOKENIZER_BYTES, "a tokenizer")


def copy_file(source: Path, target: Path, max_bytes: int, expected: str) -> None:
    """Copy a regular file of at most `max_bytes`.

    Raises ModelFolderError for any other file, OSError for one that cannot be read or written.
    """
    try:
        content = read_file(source, max_bytes, expected)
    except ModelFolderError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise
    target.write_bytes(content)
