"""Small sequence encoders with random weights, one for each of their tasks."""

from pathlib import Path

from tests.encoder_folders import write_encoder
from tests.folders import WORDS

CLASSIFICATION, TAGGING, REGRESSION, EMBEDDING = "moods", "stream-tags", "stream-values", "vectors"
NAMES = (CLASSIFICATION, TAGGING, REGRESSION, EMBEDDING)
#: Those that read numbers, in rows of three.
OF_NUMBERS = frozenset({TAGGING, REGRESSION})
FED_WORDS = tuple(word for word in WORDS if word.isalpha())
_TOKENS = {"unknown": "<unk>", "begin": "<s>"}


def write_encoders(models: Path) -> None:
    """Write the model folders."""
    write_encoder(models, CLASSIFICATION, "classification", readout="attention", special_tokens=_TOKENS)
    write_encoder(models, TAGGING, "tagging", text=False, cell="lstm")
    write_encoder(models, REGRESSION, "regression", text=False, readout="max")
    write_encoder(models, EMBEDDING, "embedding", readout="mean", cell="lstm", special_tokens=_TOKENS)
