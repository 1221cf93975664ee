"""Offline tools that the architectures of models over numbers share."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import SeriesInput
from service.nets.config.sections import PREPROCESSOR_FILE
from service.nets.forecast_inputs.scaling import MAX_FILE_BYTES
from service.tooling.pack.companion_files import CompanionFiles, copy_file
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.predict.series_file import read_series

#: The preprocessor of a network that reads unscaled numbers.
IDENTITY: Literal["identity"] = "identity"


def check_numeric_companions(target: Path, files: CompanionFiles, owner: str = "a forecaster") -> None:
    """Check that the files given to `pack` are those of a network over numbers. Raises ModelFolderError."""
    for kind, path in (("word list", files.vocab), ("tokenizer", files.tokenizer)):
        if path is not None:
            raise ModelFolderError(f"{path}: found a {kind}, expected none: {owner} reads numbers, not text")
    if files.preprocessor is None:
        raise ModelFolderError(
            f"{target}: found no preprocessor, expected --preprocessor FILE with the mean and scale of each "
            "feature in training, or --preprocessor identity for a network that reads the numbers as they are"
        )


def write_preprocessor(folder: Path, features: Sequence[str], frequency: str | None, files: CompanionFiles) -> None:
    """Write the preprocessor of a model folder. Raises ModelFolderError, and OSError for an unreadable file."""
    if files.preprocessor == IDENTITY:
        fields = {
            "format_version": 1,
            "features": [*features],
            "mean": [0.0] * len(features),
            "scale": [1.0] * len(features),
            "frequency": frequency,
            "clamp": None,
            "missing": "last",
        }
        (folder / PREPROCESSOR_FILE).write_text(json.dumps(fields, indent=2) + "\n", "utf-8")
    elif files.preprocessor is not None:
        copy_file(files.preprocessor, folder / PREPROCESSOR_FILE, MAX_FILE_BYTES, "a preprocessor")


def read_observations(model: str, features: Sequence[str], arguments: PredictionArguments) -> SeriesInput:
    """Return the observations of the command line for the model named `model`. Raises InvalidRequest."""
    names = ", ".join(features)
    if arguments.text is not None:
        raise InvalidRequest(
            f"TEXT is {arguments.text!r}: expected --csv FILE, since {model} reads observations ({names})"
        )
    if arguments.series is None:
        raise InvalidRequest(f"--csv is missing: expected a file of observations, with a column for each of {names}")
    return read_series(arguments.series, features)
