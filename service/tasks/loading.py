"""From a model folder to a task that is ready to run."""

from pathlib import Path

from service.errors import ModelFolderError
from service.nets.checkpoint import Checkpoint, read_checkpoint
from service.tasks.layout import StateLayout
from service.tasks.next_word import NextWord, TextLimits
from service.tasks.text import read_vocabulary


def load_task(folder: Path, limits: TextLimits) -> tuple[Checkpoint, NextWord]:
    """Read a model folder and build its task. Raises ModelFolderError for whatever is wrong with it."""
    checkpoint = read_checkpoint(folder)
    config = checkpoint.config
    vocabulary = read_vocabulary(folder, config.vocab_size, config.special_tokens)
    layout = StateLayout([(spec.name, spec.shape) for spec in checkpoint.network.specs])
    return checkpoint, NextWord(checkpoint.network, vocabulary, layout, config.special_tokens, limits)


def version_folders(models: Path) -> list[Path]:
    """Return `<name>/<version>/` below `models`, versions in the order of their numbers.

    Folders whose name is no integer are no versions; `recipes` and the like are passed over. Raises ModelFolderError
    when there is no such folder.
    """
    if not models.is_dir():
        raise ModelFolderError(f"{models}: found no folder, expected one that holds <name>/<version>/config.json")
    found = [folder for folder in models.glob("*/*") if folder.is_dir() and folder.name.isdecimal()]
    return sorted(found, key=lambda folder: (folder.parent.name, int(folder.name)))
