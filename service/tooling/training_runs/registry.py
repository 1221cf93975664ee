"""The libraries whose run folders are read."""

from collections.abc import Sequence
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.domain.files import entry_names
from service.tooling.training_runs.neuralhydrology.reader import NeuralHydrologyReader
from service.tooling.training_runs.run import RunReader, TrainingRun

READERS: Sequence[RunReader] = (NeuralHydrologyReader(),)


def take_run(files: Sequence[str]) -> tuple[list[str], TrainingRun | None]:
    """Return the files with the last weights of a run in the place of its folder, and what the folder says.

    Raises ModelFolderError for several runs.
    """
    runs = {text: run for text in files if (run := read_run(Path(text))) is not None}
    if len(runs) > 1:
        raise ModelFolderError(f"{', '.join(runs)[:300]}: found several runs, expected one")
    run = next(iter(runs.values()), None)
    return [str(runs[text].weights) if text in runs else text for text in files], run


def read_run(path: Path) -> TrainingRun | None:
    """Return what a run folder says, None for any other path. Raises ModelFolderError."""
    if not path.is_dir():
        return None
    names = entry_names(path)
    reader = next((reader for reader in READERS if reader.recognizes(names)), None)
    return None if reader is None else reader.read(path, names)
