"""Arguments of `unroll predict` that state the input."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PredictionArguments:
    """Arguments of the command line: a text, or files of observations and of known covariates.

    `vector` is a JSON list of the numbers that a sequence begins with, or @ and the name of a file that has one.
    """

    text: str | None = None
    series: Path | None = None
    future: Path | None = None
    vector: str | None = None
