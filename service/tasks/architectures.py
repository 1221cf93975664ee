"""Registry of the architectures that are served, and loading of a model folder as a task."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.domain.operations import ComputeDtype, Device
from service.model_folder.loader import Checkpoint, read_checkpoint
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.base import AnyTask
from service.tasks.forecasting.architecture import FORECASTER
from service.tasks.graph_encoding.architecture import GRAPH_ENCODER
from service.tasks.limits import TextLimits
from service.tasks.next_word.architecture import LANGUAGE_MODEL
from service.tasks.sequence_encoding.architecture import SEQUENCE_ENCODER
from service.tasks.tensor.architecture import ONNX_GRAPH
from service.tasks.translation.architecture import ENCODER_DECODER

#: All architectures; the first one that recognizes a checkpoint is proposed for it.
#: Whoever reads a model folder or a checkpoint takes these unless it is given others.
ARCHITECTURES: tuple[AnyArchitecture, ...] = (
    SEQUENCE_ENCODER,
    LANGUAGE_MODEL,
    ENCODER_DECODER,
    FORECASTER,
    ONNX_GRAPH,
    GRAPH_ENCODER,
)


def load_task(
    folder: Path,
    limits: TextLimits,
    dtype: ComputeDtype | None = None,
    device: Device = "cpu",
    architectures: Sequence[AnyArchitecture] = ARCHITECTURES,
) -> tuple[Checkpoint[AnyArchitecture], AnyTask]:
    """Read a model folder, to run in `dtype` or in its own dtype on `device`, and return it with its task.

    Raises ModelFolderError for an invalid folder, SettingsError for the device.
    """
    checkpoint = read_checkpoint(folder, architectures, dtype, device)
    return checkpoint, checkpoint.spec.make_task(checkpoint.network, checkpoint.companions, limits)


def version_folders(models: Path) -> list[Path]:
    """Return the folders `<name>/<version>/` in `models`, by name and version number.

    Folders whose name is no integer are no versions. Raises ModelFolderError if `models` does not exist.
    """
    try:
        names = _folders(models)
    except OSError as error:
        raise ModelFolderError(
            f"{models}: found no folder, expected one that holds <name>/<version>/config.json"
        ) from error
    folders: list[Path] = []
    for name in names:
        with contextlib.suppress(OSError):  # one that cannot be listed; the others serve
            folders += [folder for folder in _folders(name) if folder.name.isdecimal()]
    return sorted(folders, key=lambda folder: (folder.parent.name, int(folder.name)))


def _folders(path: Path) -> list[Path]:
    """Return the folders in a folder. Raises OSError."""
    with os.scandir(path) as entries:
        return [path / entry.name for entry in entries if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link that leads to itself
        return False
