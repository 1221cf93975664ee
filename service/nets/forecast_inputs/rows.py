"""Rows of numbers as the inputs of a sequence encoder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.nets.config.architecture_config import SequenceConfig
from service.nets.forecast_inputs.scaling import Numbers, Scaling, read_scaling


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Network inputs (n, W), and the last row (F,) scaled and filled."""

    inputs: Numbers
    last: Numbers


@dataclass(frozen=True, slots=True)
class RowReader:
    """Conversion of rows in the units of the data: scaled and filled features, then indicators of missing values."""

    features: tuple[str, ...]
    scaling: Scaling
    missing_indicator: bool

    def read(self, values: Numbers, last: Numbers) -> ReadRows:
        """Return values (n, F), NaN where missing, that follow the filled row `last` (F,), as inputs."""
        filled, missing = self.scaling.fill_rows(values, last)
        inputs = np.concatenate([filled, missing.astype(np.float64)], 1) if self.missing_indicator else filled
        return ReadRows(inputs, filled[-1] if len(filled) else last)


def read_row_reader(folder: Path, config: SequenceConfig) -> RowReader:
    """Read preprocessor.json. Raises ModelFolderError."""
    scaling = read_scaling(folder, config.features, None)
    return RowReader(tuple(config.features), scaling, config.missing_indicator)
