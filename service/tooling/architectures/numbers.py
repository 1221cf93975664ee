"""Offline tools that the architectures of models over numbers share."""

import json
from collections.abc import Sequence
from pathlib import Path

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import SeriesInput
from service.nets.config.sections import PREPROCESSOR_FILE
from service.nets.forecast_inputs.scaling import MAX_FILE_BYTES, read_scaling
from service.tooling.pack.companion_files import CompanionFiles, copy_file
from service.tooling.predict.arguments import PredictionArguments
from service.tooling.predict.series_file import read_series
from service.tooling.preprocessing.reader import read_preprocessing
from service.tooling.preprocessing.scaling import Scaler

#: Rows that the printed example sends.
EXAMPLE_ROWS = 3


def check_numeric_companions(target: Path, files: CompanionFiles, owner: str = "a forecaster") -> None:
    """Check that the files given to `pack` are those of a network over numbers. Raises ModelFolderError."""
    for kind, path in (("word list", files.vocab_origin), ("tokenizer", files.tokenizer)):
        if path is not None:
            raise ModelFolderError(f"{path}: found a {kind}, expected none: {owner} reads numbers, not text")
    if files.preprocessor is None:
        raise ModelFolderError(
            f"{target}: found no preprocessor, expected --preprocessor FILE with the mean and scale of each "
            "feature in training, or --preprocessor identity for a network that reads the numbers as they are"
        )


def write_preprocessor(folder: Path, features: Sequence[str], frequency: str | None, files: CompanionFiles) -> None:
    """Write the preprocessor of a model folder. Raises ModelFolderError, and OSError for an unreadable file."""
    if files.preprocessor is None:
        return
    scaler = files.preprocessor
    if isinstance(scaler, Path):
        contents = read_preprocessing(scaler, text=False) if scaler.is_file() else []
        stated = [found.item for found in contents if isinstance(found.item, Scaler)]
        if len(stated) != 1:
            copy_file(scaler, folder / PREPROCESSOR_FILE, MAX_FILE_BYTES, "a preprocessor")
            return
        scaler = stated[0]
    count = len(features)
    mean, scale = scaler.of([*features]) if isinstance(scaler, Scaler) else ([0.0] * count, [1.0] * count)
    fields = {
        "format_version": 1,
        "features": [*features],
        "mean": mean,
        "scale": scale,
        "frequency": frequency,
        "clamp": None,
        "missing": "last",
    }
    (folder / PREPROCESSOR_FILE).write_text(json.dumps(fields, indent=2) + "\n", "utf-8")


def example_rows(folder: Path, features: Sequence[str]) -> list[list[float]]:
    """Return rows of the mean of each feature in training."""
    scaling = read_scaling(folder, features, None)
    return [[float(number) for number in scaling.mean]] * EXAMPLE_ROWS


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
