"""What a model folder has beside the weights: the vocabulary of a network over text, or the scaling of numbers."""

from pathlib import Path
from typing import TypeAlias

from service.nets.config.architecture_config import SequenceConfig
from service.nets.forecast_inputs.rows import RowReader, read_row_reader
from service.tasks.sequence_encoding.inputs import InputReader, SeriesReader, TextReader
from service.tasks.vocabulary import Vocabulary, read_vocabulary

Companions: TypeAlias = Vocabulary | RowReader


def read_companions(folder: Path, config: SequenceConfig, padding: str | None = None) -> Companions:
    """Read the file that decides how inputs are read; `padding` is a token that it has to have.

    Raises ModelFolderError.
    """
    if config.vocab_size is None:
        return read_row_reader(folder, config)
    vocabulary = read_vocabulary(folder, config.vocab_size, config.special_tokens)
    if padding is not None:
        vocabulary.require_token(folder / "config.json", "padding.token", padding)
    return vocabulary


def make_reader(companions: Companions, config: SequenceConfig, padding: str | None = None) -> InputReader:
    """Return the reader of the inputs of a network."""
    if isinstance(companions, RowReader):
        return SeriesReader(companions)
    return TextReader(companions, config.special_tokens.get("begin"), padding)
